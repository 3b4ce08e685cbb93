"""The number of steps per call of the compiled program: for a given time, up to the next step where the host acts."""

import time
from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

from ._settings import TrainingSettings, ValidationSettings


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

    def next_after(self, step: int, due_steps: Iterable[int | None]) -> int:
        """The nearest step after `step` that logs, validates or is the last, or is one of `due_steps`."""
        intervals = [self._log_every] + ([self._validate_every] if self._validate_every is not None else [])
        candidates = [step - step % interval + interval for interval in intervals]
        return min([self._last, *candidates, *(due for due in due_steps if due is not None)])


# Seconds per call of the compiled program: a preempted run should react within about a second.
_TARGET_S = 0.5


@runtime_checkable
class ChunkLength(Protocol):
    """Chooses the number of steps per call of the compiled program."""

    def start(self, most: int) -> int:
        """Begins a call; returns its number of steps, at most `most`."""
        ...

    def stop(self, num_steps: int) -> None:
        """Ends a call that ran `num_steps` steps."""
        ...


class ChunkSizer:
    """Chooses the number of steps per call so that a call lasts a given time, from the measured time of a step.

    The host sees a stop request only between calls, so a call must be short. Each call costs a fraction of a
    millisecond, so it must not be too short.

    Args:
        target_s: Wanted duration of a call in seconds.
        clock: Gives seconds that never run backwards.
    """

    # The first measurements may be far from the true speed; growth is bounded because one fast call may be a fluke.
    _LARGEST_GROWTH = 8

    def __init__(self, target_s: float = _TARGET_S, clock: Callable[[], float] = time.perf_counter):
        self._target_s = target_s
        self._clock = clock
        self._num_steps = 1
        self._started_s = 0.0

    @property
    def num_steps(self) -> int:
        """How many steps last the wanted time, as far as is known."""
        return self._num_steps

    def start(self, most: int) -> int:
        """Begins a call; returns its number of steps, at most `most`."""
        self._started_s = self._clock()
        return min(self._num_steps, most)

    def stop(self, num_steps: int) -> None:
        """Ends a call that ran `num_steps` steps."""
        seconds_per_step = max(self._clock() - self._started_s, 1e-9) / num_steps
        wanted = int(self._target_s / seconds_per_step)
        self._num_steps = max(1, min(wanted, self._LARGEST_GROWTH * max(num_steps, self._num_steps)))
