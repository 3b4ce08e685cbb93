"""The training loop of the host: call the compiled program, and between calls log, validate, save or leave."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp

from ._chunk import ChunkSizer
from ._metrics import RunMetrics
from ._protocols import Checkpointer, MetricLogger, Metrics, Preemption
from ._settings import TrainingSettings
from ._state import MetricWindow, TrainState
from ._step import TrainSteps
from ._validation import Validation, ValidationSettings

# A preempted run should be seen to react within about a second.
_CHUNK_S = 0.5


class TrainResult(NamedTuple):
    """How training ended: at its last step, or earlier because the process was asked to leave.

    `metrics` are those of the last logged line, if any was logged.
    """

    state: TrainState
    step: int
    finished: bool
    metrics: Metrics


class NotFiniteError(RuntimeError):
    """The loss was NaN or infinite, and would be so again if the run went on.

    Args:
        step: The last step before it.
    """

    def __init__(self, step: int):
        super().__init__(f"the loss is not finite at step {step + 1}")
        self.step = step


class Boundaries:
    """The steps at which the host has something to do.

    Args:
        settings: Number of steps and logging interval.
        validation: Validation interval, or None without validation.
    """

    def __init__(self, settings: TrainingSettings, validation: ValidationSettings | None):
        self._last = settings.num_train_steps
        self._log_every = settings.log_every
        self._validate_every = validation.every if validation is not None else None

    def logs_at(self, step: int) -> bool:
        """Whether a line is logged after `step` steps."""
        return step == self._last or step % self._log_every == 0 or self.validates_at(step)

    def validates_at(self, step: int) -> bool:
        """Whether the model is validated after `step` steps."""
        return self._validate_every is not None and (step == self._last or step % self._validate_every == 0)

    def next_after(self, step: int, save_step: int | None) -> int:
        """The nearest step after `step` that logs, validates, saves or is the last."""
        intervals = [self._log_every] + ([self._validate_every] if self._validate_every is not None else [])
        candidates = [step - step % interval + interval for interval in intervals]
        return min([self._last, *candidates] + ([save_step] if save_step is not None else []))


def train(
    state: TrainState,
    train_steps: TrainSteps,
    settings: TrainingSettings,
    *,
    metrics: RunMetrics,
    validation: Validation | None,
    logger: MetricLogger,
    checkpointer: Checkpointer,
    preemption: Preemption,
    timed: Callable[[Literal["computing", "saving"]], AbstractContextManager[object]],
) -> TrainResult:
    """Trains from `state` to the last step, or until preemption is requested.

    A state whose window holds steps, at a step that logs, has its line still to come: a run that was interrupted
    before or within a validation thus makes it up, and the last state, whose window is kept, can be extended.

    Args:
        state: Where to begin; its buffers are donated.
        train_steps: The compiled program.
        settings: Number of steps and logging interval.
        metrics: Turns windows and validations into the logged numbers.
        validation: With what to validate, which knows when; None to not.
        logger: Takes each logged line once.
        checkpointer: Takes states as they fall due, the last one, and the one at which the run leaves.
        preemption: Asked between calls and between validation batches.
        timed: Context manager that accounts the seconds within it to a phase, "computing" or "saving".

    Raises:
        NotFiniteError: If the loss is NaN or infinite, after the state before that step is committed.
    """
    first_step = step = int(state.step)
    boundaries = Boundaries(settings, None if validation is None else validation.settings)
    chunk = ChunkSizer(_CHUNK_S)
    line: Metrics = {}

    def save() -> None:
        with timed("saving"):
            logger.flush()
            checkpointer.save(step, state)

    def leave(finished: bool) -> TrainResult:
        if step > first_step:
            save()
        with timed("saving"):
            checkpointer.wait()
        return TrainResult(state, step, finished, line)

    while True:
        if not bool(state.finite):
            leave(finished=False)
            raise NotFiniteError(step)
        if step == settings.num_train_steps and step > first_step:
            save()  # runs while the model is validated
        if boundaries.logs_at(step) and int(state.window.num_steps) > 0:
            scores = None
            if validation is not None and boundaries.validates_at(step):
                scores = validation(state.model, preemption.requested)
                if scores is None:
                    return leave(finished=False)
            line = metrics.line(state, scores)
            logger.log(step, line)
            if step < settings.num_train_steps:
                state = eqx.tree_at(lambda s: s.window, state, MetricWindow.empty())
        if step == settings.num_train_steps:
            return leave(finished=True)
        if preemption.requested():
            return leave(finished=False)
        if checkpointer.due(step):
            save()
        num_steps = chunk.start(boundaries.next_after(step, checkpointer.next_due_step(step)) - step)
        with timed("computing"):
            state = train_steps(state, jnp.asarray(num_steps, jnp.int32))
            step = int(state.step)  # waits for the device
        chunk.stop(num_steps)
        # A bar that is drawn again would hide what Ctrl-C has just said.
        if not preemption.requested():
            logger.progress(step)
