"""The interfaces through which training validates, logs, saves, calls observers, and learns of a stop request."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from simplexity.predictive_models import PredictiveModel

from ._settings import ValidationSettings
from ._state import RunState, TrainState
from ._validation import ValidationMetrics

# A logged line: numbers, and lists with one number per position of a sequence.
Metrics = Mapping[str, float | list[float]]


@runtime_checkable
class ModelValidation(Protocol):
    """Something that validates the model of a state."""

    settings: ValidationSettings

    def __call__(self, state: RunState, interrupted: Callable[[], bool]) -> ValidationMetrics | None:
        """Validates it; returns None as soon as `interrupted`, called every few batches, says so."""
        ...


@runtime_checkable
class MetricLogger(Protocol):
    """Something that shows or keeps metrics."""

    def log(self, step: int, metrics: Metrics) -> None:
        """Takes the metrics of one step; called once per logged step, in order."""
        ...

    def progress(self, step: int) -> None:
        """Shows that `step` steps are done; called about twice a second."""
        ...

    def flush(self) -> None:
        """Makes durable what was logged; called before a checkpoint is saved."""
        ...


@runtime_checkable
class Checkpointer(Protocol):
    """Something that keeps training states."""

    def next_due_step(self, step: int) -> int | None:
        """The first step after `step` at which a checkpoint is due by number of steps; None if none is."""
        ...

    def due(self, step: int) -> bool:
        """Whether a checkpoint is due now, by steps or by time."""
        ...

    def save(self, step: int, state: TrainState) -> None:
        """Begins to save `state`, whose buffers may be donated to a computation as soon as this returns."""
        ...

    def wait(self) -> None:
        """Returns when everything that was saved is committed."""
        ...


@runtime_checkable
class StepObserver(Protocol):
    """Something that looks at the model after exact numbers of steps.

    A step is observed before any later checkpoint is saved. It is observed again if the run is resumed at that step,
    or at an earlier one. So an observer does the same with the same model each time: it replaces what it has kept of a
    step, or leaves it as it is.
    """

    def next_due_step(self, step: int) -> int | None:
        """The first due step after `step`; None if there is none. After step -1 it is 0 if the first model is due."""
        ...

    def observe(self, step: int, model: PredictiveModel, interrupted: Callable[[], bool]) -> bool:
        """Looks at the model, whose buffers may be donated to a computation as soon as this returns.

        Args:
            step: The number of steps that the model has been trained for, which is due.
            model: The model; in a run of several processes, each array is whole in every process.
            interrupted: Whether a stop was requested; to be asked about once a second by what takes longer.

        Returns:
            Whether it is done; False if it was interrupted. Then the run stops, and observes this step when resumed.
        """
        ...

    def flush(self) -> None:
        """Makes durable what was observed; called before a checkpoint is saved, and when training ends."""
        ...


@runtime_checkable
class Preemption(Protocol):
    """Knows whether this process is to stop, because its job is preempted or Ctrl-C was pressed."""

    def requested(self) -> bool:
        """Whether a stop was requested: the run then saves its state and ends."""
        ...
