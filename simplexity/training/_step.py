"""The compiled program: any number of training steps in one call; and the optimizer whose update a step applies."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from simplexity.generative_processes import DataGenerator
from simplexity.predictive_models import PredictiveModel

from ._compiler_options import compiler_options
from ._data_parallel import DataParallel
from ._gradient import make_loss_and_gradient, micro_batch_of, num_micro_batches
from ._settings import TrainingSettings
from ._state import MetricWindow, RunState, TrainState
from ._validation_plateau import ReduceOnValidationPlateau

TrainSteps = Callable[[Any, int], RunState]
"""`train_steps(state, num_steps)` for a `TrainState`, whose buffers it donates, or for the state that it has returned
last; returns the state after the steps."""


class StepArguments(NamedTuple):
    """What all steps of a run share, as arguments of the program: runs that differ in the numbers compile once."""

    generator: DataGenerator
    hyperparameters: PyTree


def make_optimizer(
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule | optax.GradientTransformation | ReduceOnValidationPlateau | None,
    gradient_clip_norm: float | Float[Array, ""] | None,
) -> optax.GradientTransformation:
    """Chains gradient clipping, `optimizer`, and a factor that depends on the number of steps, or on the losses.

    The schedule scales the finished update. For optimizers whose update is proportional to the learning rate (Adam,
    AdamW with its decay, SGD) that is the same as scaling the learning rate. So a schedule is a shape, and the learning
    rate stays one number to sweep over.

    Args:
        optimizer: Any optax optimizer, with its learning rate.
        schedule: Factor of the learning rate at each step, usually within [0, 1]; or a transformation that keeps such a
            factor in its state and gets the loss of each step as `value`, such as `optax.contrib.reduce_on_plateau`; or
            one whose factor follows the validation loss; None is the constant 1.
        gradient_clip_norm: Largest global norm of a gradient; None clips nothing.

    Returns:
        The optimizer that a run uses.
    """
    chained = [optimizer]
    if gradient_clip_norm is not None:
        chained.insert(0, optax.clip_by_global_norm(gradient_clip_norm))
    if isinstance(schedule, optax.GradientTransformation):
        chained.append(schedule)
    elif isinstance(schedule, ReduceOnValidationPlateau):
        chained.append(schedule.transformation())
    elif schedule is not None:
        chained.append(optax.scale_by_schedule(schedule))
    return optax.chain(*chained)


StepFunction = Callable[[StepArguments, TrainState, Int[Array, ""]], TrainState]
"""`train_steps(arguments, state, num_steps)`, which gets what all steps share as its first argument."""


def make_train_steps(
    optimizer_of: Callable[[Any], optax.GradientTransformation],
    settings: TrainingSettings,
    model: PredictiveModel,
    parallel: DataParallel | None = None,
) -> StepFunction:
    """Builds and jits `train_steps(arguments, state, num_steps)`, which donates the buffers of `state`.

    Args:
        optimizer_of: Makes the optimizer from the hyperparameters: see `make_step_function`.
        settings: The shape of a batch, and whether batches continue each other.
        model: One of those to be trained: XLA's options depend on its kind and sizes.
        parallel: The devices that share each batch; None for one device.
    """
    options = step_compiler_options(settings, model, parallel)
    # filter_jit hands arguments that it does not know to jax.jit.
    jit = eqx.filter_jit(donate="all-except-first", compiler_options=options)  # pyright: ignore[reportCallIssue]
    return jit(make_step_function(optimizer_of, settings, parallel))


def step_compiler_options(
    settings: TrainingSettings, model: eqx.Module, parallel: DataParallel | None = None
) -> dict[str, bool | int | str]:
    """XLA's options for the training steps of a model.

    Args:
        settings: The shape of a batch.
        model: One of those to be trained.
        parallel: The devices that share each batch; None for one device.
    """
    rows = settings.batch_size // (1 if parallel is None else parallel.num_devices)
    rows //= num_micro_batches(rows, settings.sequence_len, micro_batch_of(model))
    # A user's model is any module with `forward`.
    prefers_library_products = getattr(model, "prefers_library_products", lambda num_rows: True)
    return compiler_options(prefers_library_products(rows))


def make_step_function(
    optimizer_of: Callable[[Any], optax.GradientTransformation],
    settings: TrainingSettings,
    parallel: DataParallel | None = None,
) -> StepFunction:
    """Builds `train_steps(arguments, state, num_steps)`, which runs `num_steps` steps; not jitted yet.

    A step draws a batch from `arguments.generator`, differentiates, and updates the parameters with
    `optimizer_of(arguments.hyperparameters)`. The loop ends early at a loss that is not finite.

    `num_steps` is an argument of one compiled loop. So the length of a call can depend on the time that a step takes
    without a recompilation, and a run is bitwise the same however its steps are cut into calls.

    Args:
        optimizer_of: Makes the optimizer from the hyperparameters: arrays on whose values the program does not depend.
        settings: The shape of a batch, and whether batches continue each other.
        parallel: The devices that share each batch; None for one device.
    """
    loss_and_gradient = make_loss_and_gradient(parallel)

    def draw(generator: DataGenerator, state: TrainState) -> tuple[object, Int[Array, "batch length"]]:
        start_key, sample_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        start = state.sampling_state
        if not settings.carry_state:
            start = generator.initial_sampling_state(settings.batch_size, key=start_key)
        end, tokens = generator.sample(start, settings.sequence_len, key=sample_key)
        return (end if settings.carry_state else None), tokens

    def step(
        generator: DataGenerator,
        optimizer: optax.GradientTransformation,
        state: TrainState,
        is_last: Bool[Array, ""],
    ) -> TrainState:
        sampling_state, tokens = draw(generator, state)
        (loss, hits), gradient = loss_and_gradient(state.model, tokens)
        parameters = eqx.filter(state.model, eqx.is_inexact_array)
        update, optimizer_state = optax.with_extra_args_support(optimizer).update(
            gradient, state.optimizer_state, parameters, value=loss
        )
        finite = jnp.isfinite(loss)
        # The norms would take a tenth of a small model's time, and the host sees only a call's last step.
        norms = jax.lax.cond(
            is_last & finite, lambda *trees: tuple(map(_norm, trees)), lambda *_: (jnp.zeros(()),) * 2, gradient, update
        )
        window = state.window
        after = TrainState(
            step=state.step + 1,
            model=eqx.apply_updates(state.model, update),
            optimizer_state=optimizer_state,
            sampling_state=sampling_state,
            key=state.key,
            window=MetricWindow(
                num_steps=window.num_steps + 1,
                loss=window.loss + loss,
                accuracy=window.accuracy + hits,
                gradient_norm=norms[0],
                update_norm=norms[1],
            ),
            initial_parameters=state.initial_parameters,
            finite=state.finite,
        )
        kept = _select(finite, after, state)
        return eqx.tree_at(lambda s: (s.finite, s.window.gradient_norm, s.window.update_norm), kept, (finite, *norms))

    def train_steps(arguments: StepArguments, state: TrainState, num_steps: Int[Array, ""]) -> TrainState:
        optimizer = optimizer_of(arguments.hyperparameters)
        arrays, static = eqx.partition(state, eqx.is_array)
        stop = state.step + num_steps

        def unfinished(arrays):
            return (arrays.step < stop) & arrays.finite

        def body(arrays):
            is_last = arrays.step + 1 == stop
            after = step(arguments.generator, optimizer, eqx.combine(arrays, static), is_last)
            return eqx.filter(after, eqx.is_array)

        arrays = jax.lax.while_loop(unfinished, body, arrays)
        if parallel is not None:
            arrays = parallel.copied(arrays)
        return eqx.combine(arrays, static)

    return train_steps


def _norm(tree: PyTree[Float[Array, "..."]]) -> Float[Array, ""]:
    """Euclidean norm over all leaves; XLA's CPU compiler vectorises a product with itself, but not a sum of squares."""
    return jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree)))


def _select(condition, if_true: TrainState, if_false: TrainState) -> TrainState:
    """Chooses one state or the other, leaf by leaf; leaves that are the same array in both (random keys) are kept."""

    def leaf(new, old):
        return old if new is old or not eqx.is_array(new) else jnp.where(condition, new, old)

    return jax.tree.map(leaf, if_true, if_false)
