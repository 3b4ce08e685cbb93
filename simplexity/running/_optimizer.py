"""The optimizer of a run, whose numbers are arguments of the compiled step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jaxtyping import Array, Float
from omegaconf import DictConfig

from simplexity.composition import config_errors_at, instantiate
from simplexity.training import ReduceOnValidationPlateau, TrainState, make_optimizer

from ._kept_programs import kept_answer
from ._numbers import Numbers, resolved_text, traced_numbers


class Hyperparameters(NamedTuple):
    """The numbers of an optimizer that do not shape its program; those of a section by their keys."""

    optimizer: Numbers
    schedule: Numbers
    gradient_clip_norm: Float[Array, ""] | None


class Optimizer(NamedTuple):
    """`make` gives the optimizer with other hyperparameters than the config's, also with traced ones.

    Attributes:
        hyperparameters: The config's.
        make: Its optimizers of equal `text` are the same function of the hyperparameters.
        text: What the config says but for the hyperparameters.
        learning_rate: That of the update at a step, counted from 0, which has left an optimizer's state behind.
        after_validation: The state to train on from, for a state and its validation loss.
    """

    hyperparameters: Hyperparameters
    make: Callable[[Hyperparameters], optax.GradientTransformation]
    text: str
    learning_rate: Callable[[int, Callable[[], optax.OptState]], float]
    after_validation: Callable[[TrainState, float], TrainState] | None


def build_optimizer(config: DictConfig) -> Optimizer:
    """Builds what `training.optimizer` and `training.schedule` name.

    Raises:
        ConfigError: If a constructor objects.
    """
    section = config.training
    rate = section.optimizer.instance.get("learning_rate", 1.0)
    with config_errors_at("training.optimizer.instance.learning_rate"):
        base = optax.constant_schedule(rate) if isinstance(rate, int | float) else instantiate(rate)
        kept_answer(("schedule", resolved_text(rate)), lambda: _check_schedule(base))
    with config_errors_at("training.optimizer.instance"):
        optimizer = instantiate(section.optimizer.instance)
        kept_answer(("optimizer", resolved_text(section.optimizer.instance)), lambda: _check_optimizer(optimizer))
        numbers = traced_numbers(
            section.optimizer.instance,
            lambda numbers: _update(instantiate(section.optimizer.instance, numbers)),
            "optimizer",
        )
    with config_errors_at("training.schedule"):
        schedule = instantiate(section.schedule)
        if isinstance(schedule, optax.GradientTransformation):
            _check_plateau(schedule)
        elif isinstance(schedule, ReduceOnValidationPlateau):
            _check_validated(config)
        elif schedule is not None:
            kept_answer(("schedule", resolved_text(section.schedule)), lambda: _check_schedule(schedule))
        of_schedule = traced_numbers(
            section.schedule, lambda numbers: _use_schedule(instantiate(section.schedule, numbers)), "schedule"
        )

    def learning_rate(step: int, state: Callable[[], optax.OptState]) -> float:
        if schedule is None:
            factor = 1.0
        elif isinstance(schedule, optax.GradientTransformation | ReduceOnValidationPlateau):
            factor = _plateau_states(state())[-1].scale
        else:
            factor = schedule(step)
        return float(jnp.asarray(base(step) * factor))

    def make_with(values: Hyperparameters) -> optax.GradientTransformation:
        return make_optimizer(
            instantiate(section.optimizer.instance, values.optimizer),
            instantiate(section.schedule, values.schedule),
            values.gradient_clip_norm,
        )

    norm = section.gradient_clip_norm
    norm = None if norm is None else jax.device_put(float(norm))
    hyperparameters = Hyperparameters(numbers.values, of_schedule.values, norm)
    text = f"{numbers.remaining_text} {of_schedule.remaining_text}"
    follows = isinstance(schedule, ReduceOnValidationPlateau)
    after_validation = schedule.observe if follows else None
    return Optimizer(hyperparameters, make_with, text, learning_rate, after_validation)


def _check_schedule(schedule: Any) -> None:
    """Raises ValueError unless it is a function from a step to a number."""
    try:
        step = jax.ShapeDtypeStruct((), jnp.int32)
        is_number = jax.eval_shape(lambda step: jnp.asarray(schedule(step)), step).shape == ()
    except Exception:  # whatever comes of calling something that is no schedule
        is_number = False
    if not is_number:
        raise ValueError(
            "must make a function from the step to a number, as optax.cosine_decay_schedule does, "
            f"got {type(schedule).__name__}"
        )


def _check_plateau(schedule: optax.GradientTransformation) -> None:
    """Raises ValueError unless it is `optax.contrib.reduce_on_plateau`, or keeps its factor as that does."""
    if len(_plateau_states(jax.eval_shape(schedule.init, {"weight": jnp.ones((2, 2))}))) != 1:
        raise ValueError(
            "must make a function from the step to a number, as optax.cosine_decay_schedule does, or be "
            "optax.contrib.reduce_on_plateau"
        )


def _check_validated(config: DictConfig) -> None:
    """Raises ValueError unless the run is validated, by the process that trains it."""
    if config.validation is None:
        raise ValueError("follows the validation loss: choose validation=default, or reduce_on_plateau")
    if jax.process_count() > 1:
        raise ValueError("follows the validation loss, which one of several processes knows: choose reduce_on_plateau")


def _plateau_states(state: optax.OptState) -> list[optax.contrib.ReduceLROnPlateauState]:
    def is_one(node: object) -> bool:
        return isinstance(node, optax.contrib.ReduceLROnPlateauState)

    return [node for node in jax.tree.leaves(state, is_leaf=is_one) if is_one(node)]


def _use_schedule(schedule: Any) -> Any:
    if isinstance(schedule, optax.GradientTransformation):
        return _update(schedule, value=jnp.ones(()))
    if isinstance(schedule, ReduceOnValidationPlateau):
        return _update(schedule.transformation())
    return schedule(jnp.zeros((), int))


def _check_optimizer(optimizer: Any) -> None:
    """Raises ValueError unless gradients and parameters are all that it needs for an update."""
    try:
        jax.eval_shape(lambda: _update(optimizer))
    except Exception as error:  # whatever comes of using something that is no such optimizer
        raise ValueError(
            "must make an optimizer that needs no more than gradients and parameters, as optax.adam does, "
            f"got {type(optimizer).__name__}: {error}"
        ) from None


def _update(optimizer: optax.GradientTransformation, **extra: Float[Array, ""]) -> Any:
    """An update of a smallest model, whose shape does not matter to how an optimizer uses its numbers."""
    parameters = {"weight": jnp.ones((2, 2))}
    return optimizer.update(parameters, optimizer.init(parameters), parameters, **extra)
