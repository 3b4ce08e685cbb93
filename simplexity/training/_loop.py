"""The training loop on the host: it calls the compiled program; between calls it logs, observes, saves or stops."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple

from ._chunk import Boundaries, ChunkLength, ChunkSizer
from ._metrics import RunMetrics
from ._protocols import Checkpointer, MetricLogger, Metrics, ModelValidation, Preemption, StepObserver
from ._settings import TrainingSettings
from ._state import RunState, TrainState
from ._step import TrainSteps


class TrainResult(NamedTuple):
    """How training ended: at its last step (`finished`), or earlier because a stop was requested.

    `metrics` are those of the last logged line, or empty if none was logged.
    """

    state: TrainState
    step: int
    finished: bool
    metrics: Metrics


class NotFiniteError(RuntimeError):
    """The loss was NaN or infinite, and would be so again if the run were resumed.

    Args:
        step: The last step before it.
    """

    def __init__(self, step: int):
        super().__init__(f"the loss is not finite at step {step + 1}")
        self.step = step


def train(
    state: RunState,
    train_steps: TrainSteps,
    settings: TrainingSettings,
    *,
    metrics: RunMetrics,
    validation: ModelValidation | None,
    logger: MetricLogger,
    checkpointer: Checkpointer,
    preemption: Preemption,
    timed: Callable[[Literal["computing", "saving"]], AbstractContextManager[object]],
    observers: Sequence[StepObserver] = (),
    after_validation: Callable[[TrainState, float], TrainState] | None = None,
    chunk: ChunkLength | None = None,
) -> TrainResult:
    """Trains from `state` to the last step, or until a stop is requested.

    If the state is at a step that logs and its window is not empty, then the line of that step was not logged yet. A
    run that was interrupted before or within a validation thus validates and logs when it is resumed. The last state
    keeps its window, so that a finished run can be extended. Observers see the model at each of their due steps, also
    if `state` is at one; a run computes the same bits with and without them.

    Args:
        state: The state to begin with; its buffers are donated.
        train_steps: The compiled program.
        settings: Number of steps and logging interval.
        metrics: Computes the logged numbers from windows and validations.
        validation: Validates the model, at the steps of its settings; None to not validate.
        logger: Gets each logged line once.
        checkpointer: Saves states when they are due, the last one, and the one at which a stop is requested.
        preemption: Knows whether a stop is requested; checked between calls and between validation batches.
        timed: A context manager that counts the seconds within it as one phase, "computing" or "saving".
        observers: Look at the model, one after the other, after a line was logged and before a checkpoint is saved.
        after_validation: Gives the state to train on from, for a state and its validation loss; not called at the last
            step, whose validation is made up if the run is extended. None for the same state.
        chunk: Chooses the number of steps of a call; None for one by the time that this run's calls take.

    Returns:
        The last state, its step, whether the run is finished, and the metrics of the last line.

    Raises:
        NotFiniteError: If the loss is NaN or infinite, after the state before that step is committed.
    """
    first_step = step = int(state.step)
    boundaries = Boundaries(settings, None if validation is None else validation.settings)
    chunk = ChunkSizer() if chunk is None else chunk
    line: Metrics = {}

    def flush() -> None:
        logger.flush()
        for observer in observers:
            observer.flush()

    def save() -> None:
        with timed("saving"):
            flush()  # first, because a run that is resumed at this checkpoint does not come back to earlier steps
            checkpointer.save(step, state.read())

    def end(finished: bool) -> TrainResult:
        if step > first_step:
            save()
        with timed("saving"):
            flush()
            checkpointer.wait()
        return TrainResult(state.read(), step, finished, line)

    while True:
        if not bool(state.finite):
            end(finished=False)
            raise NotFiniteError(step)
        if step == settings.num_train_steps and step > first_step:
            save()  # runs while the model is validated
        if boundaries.logs_at(step) and int(state.window.num_steps) > 0:
            scores = None
            if validation is not None and boundaries.validates_at(step):
                scores = validation(state, preemption.requested)
                if scores is None:
                    return end(finished=False)
            line = metrics.line(state, scores)
            logger.log(step, line)
            if step < settings.num_train_steps:
                state = state.with_empty_window()
                if scores is not None and after_validation is not None:
                    state = after_validation(state.read(), metrics.validation_loss(scores))
        for observer in observers:
            is_due = observer.next_due_step(step - 1) == step
            if is_due and not observer.observe(step, state.read().model, preemption.requested):
                return end(finished=False)
        if step == settings.num_train_steps:
            return end(finished=True)
        if preemption.requested():
            return end(finished=False)
        if checkpointer.due(step):
            save()
        due_steps = [other.next_due_step(step) for other in (checkpointer, *observers)]
        num_steps = chunk.start(boundaries.next_after(step, due_steps) - step)
        with timed("computing"):
            state = train_steps(state, num_steps)
            step = int(state.step)  # waits for the device
        chunk.stop(num_steps)
        # After Ctrl-C nothing is drawn any more: the progress bar would hide the message about it.
        if not preemption.requested():
            logger.progress(step)
