"""The compiled program: any number of training steps in one call."""

import logging
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from simplexity.generative_processes import DataGenerator
from simplexity.predictive_models import PredictiveModel

from ._data_parallel import DataParallel
from ._losses import accuracy, cross_entropy
from ._gradient import mean_over_micro_batches, num_micro_batches
from ._settings import TrainingSettings
from ._state import MetricWindow, TrainState

_log = logging.getLogger("simplexity")

TrainSteps = Callable[[TrainState, Int[Array, ""]], TrainState]


def make_train_steps(
    generator: DataGenerator,
    optimizer_of: Callable[[Any], optax.GradientTransformation],
    settings: TrainingSettings,
    parallel: DataParallel | None = None,
) -> Callable[[PyTree, TrainState, Int[Array, ""]], TrainState]:
    """Builds `train_steps(hyperparameters, state, num_steps)`, which trains `num_steps` steps on the device.

    A step draws a batch, differentiates, and updates with `optimizer_of(hyperparameters)`. The hyperparameters are
    arrays whose values the program does not depend on, so that runs which differ in them share it.

    `num_steps` is a run-time value of one compiled loop. So the length of a call can follow the clock without a
    recompilation, and a run is bitwise the same however its steps are cut into calls. The state's buffers are
    donated. The loop ends early at a loss that is not finite. `parallel` is None for one device.
    """

    def loss_of(model: PredictiveModel, tokens: Int[Array, "batch length"]) -> tuple[Float[Array, ""], ...]:
        logits, _ = model.forward(tokens[:, :-1])
        targets = tokens[:, 1:]
        return cross_entropy(logits, targets).mean(), accuracy(logits, targets).mean()

    value_and_gradient = eqx.filter_value_and_grad(loss_of, has_aux=True)
    if jax.default_backend() == "cpu":
        rows = settings.batch_size // (1 if parallel is None else parallel.num_devices)
        number = num_micro_batches(rows, settings.sequence_len)
        value_and_gradient = mean_over_micro_batches(value_and_gradient, number)
    if parallel is not None:
        value_and_gradient = parallel.mean_over_batch(value_and_gradient)

    def draw(state: TrainState) -> tuple[object, Int[Array, "batch length"]]:
        start_key, sample_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        start = state.sampling_state
        if not settings.carry_state:
            start = generator.initial_sampling_state(settings.batch_size, key=start_key)
        end, tokens = generator.sample(start, settings.sequence_len, key=sample_key)
        return (end if settings.carry_state else None), tokens

    def step(optimizer: optax.GradientTransformation, state: TrainState, is_last: Bool[Array, ""]) -> TrainState:
        sampling_state, tokens = draw(state)
        (loss, hits), gradient = value_and_gradient(state.model, tokens)
        parameters = eqx.filter(state.model, eqx.is_inexact_array)
        update, optimizer_state = optimizer.update(gradient, state.optimizer_state, parameters)
        finite = jnp.isfinite(loss)
        # Only of a call's last step, the only one that the host can see: they take a tenth of a small model's time.
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

    def train_steps(hyperparameters: PyTree, state: TrainState, num_steps: Int[Array, ""]) -> TrainState:
        optimizer = optimizer_of(hyperparameters)
        arrays, static = eqx.partition(state, eqx.is_array)
        stop = state.step + num_steps

        def unfinished(arrays):
            return (arrays.step < stop) & arrays.finite

        def body(arrays):
            is_last = arrays.step + 1 == stop
            return eqx.filter(step(optimizer, eqx.combine(arrays, static), is_last), eqx.is_array)

        arrays = jax.lax.while_loop(unfinished, body, arrays)
        if parallel is not None:
            arrays = parallel.copied(arrays)
        return eqx.combine(arrays, static)

    # Equinox passes what it does not know on to jax.jit.
    jit = eqx.filter_jit(donate="all-except-first", compiler_options=_compiler_options())  # pyright: ignore[reportCallIssue]
    return jit(train_steps)


# What XLA's CPU compiler leaves off by default: sums by its kernel library, wider vectors, and an analysis that spares
# copies of the loop's state. Together a step takes 0.8 times as long. Narrower processors ignore the largest width.
_CPU_OPTIONS: dict[str, bool | int | str] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE",
    "xla_cpu_prefer_vector_width": 512,
    "xla_cpu_copy_insertion_use_region_analysis": True,
}


def _compiler_options() -> dict[str, bool | int | str]:
    """The options that this JAX's compiler knows: experimental ones are renamed and removed from version to version."""
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda: 0.0).lower().compile(dict(_CPU_OPTIONS))  # pyright: ignore[reportArgumentType]
    except jax.errors.JaxRuntimeError as error:
        _log.warning("jax %s: %s; training goes on with XLA's default options, more slowly", jax.__version__, error)
        return {}
    return _CPU_OPTIONS


def _norm(tree: PyTree[Float[Array, "..."]]) -> Float[Array, ""]:
    """Euclidean norm over all leaves; XLA's CPU compiler vectorises a product with itself, but not a sum of squares."""
    return jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree)))


def _select(condition, if_true: TrainState, if_false: TrainState) -> TrainState:
    """Leaf by leaf one state or the other; random keys and initial parameters are the same in both."""

    def leaf(new, old):
        return old if new is old or not eqx.is_array(new) else jnp.where(condition, new, old)

    return jax.tree.map(leaf, if_true, if_false)
