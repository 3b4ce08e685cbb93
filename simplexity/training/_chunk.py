"""How many steps to run before the host looks up again."""

import time
from collections.abc import Callable


class ChunkSizer:
    """Sizes calls of the compiled program to a bounded duration, from the measured time of a step.

    The host sees a request to leave only between calls, so a call must be short; and each call costs a fraction of a
    millisecond, so it must not be too short.

    Args:
        target_s: Wanted duration of a call in seconds.
        clock: Seconds that never run backwards.
    """

    # A first guess may be far too small or too large; growth is bounded because one fast call may be a fluke.
    _LARGEST_GROWTH = 8

    def __init__(self, target_s: float, clock: Callable[[], float] = time.perf_counter):
        self._target_s = target_s
        self._clock = clock
        self._num_steps = 1
        self._started_s = 0.0

    def start(self, most: int) -> int:
        """Begins a call; returns its number of steps, at most `most`."""
        self._started_s = self._clock()
        return min(self._num_steps, most)

    def stop(self, num_steps: int) -> None:
        """Ends a call that ran `num_steps` steps."""
        seconds_per_step = max(self._clock() - self._started_s, 1e-9) / num_steps
        wanted = int(self._target_s / seconds_per_step)
        self._num_steps = max(1, min(wanted, self._LARGEST_GROWTH * max(num_steps, self._num_steps)))
