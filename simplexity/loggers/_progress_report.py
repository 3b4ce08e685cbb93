"""How far a run is, how fast it goes and how long it will take, in one line."""

import datetime
from collections import deque

from simplexity.runs import optimum_text

from ._logger import Metrics, RunFacts

_RATE_WINDOW_S = 20.0


class RecentRate:
    """Steps per second over the last seconds, all that happens between steps included.

    Over the last seconds only, so that it follows a machine that slows down and is right at once after a resume.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, time_s: float, step: int) -> None:
        """Notes that `step` was reached at `time_s` of a clock that never runs backwards."""
        self._marks.append((time_s, step))
        # One mark stays from before the window: without it, slow steps would never make a rate.
        while len(self._marks) > 2 and self._marks[1][0] <= time_s - self._window_s:
            self._marks.popleft()

    def per_second(self) -> float | None:
        """The rate, or None before there are two marks."""
        if len(self._marks) < 2:
            return None
        (first_s, first), (last_s, last) = self._marks[0], self._marks[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else None


class ProgressReport:
    """Collects what the progress line shows.

    The first mark of the rate is the first progress and not the start, which lies before the compilation.
    """

    def __init__(self, facts: RunFacts) -> None:
        self.facts = facts
        self.step = facts.start_step
        self._rate = RecentRate(_RATE_WINDOW_S)
        self._metrics: Metrics = {}

    def reach(self, step: int, time_s: float) -> None:
        """Notes progress."""
        self.step = step
        self._rate.mark(time_s, step)

    def log(self, step: int, metrics: Metrics) -> None:
        """Notes the metrics of a step; those that a line lacks keep their last value."""
        self.step = step
        self._metrics = {**self._metrics, **metrics}

    def line(self, width: int | None = None) -> str:
        """`step 1,200/20,000 | loss 0.57120 | optimum 0.56310 | 1,532 steps/s | 98.0k tokens/s | 0:00:12 left`.

        Args:
            width: Columns that the line may have; parts that find no room are left out, the least important first:
                tokens per second, steps per second, time left, optimum, validation loss. None for all parts.
        """
        parts = self._parts()
        for name in ("tokens", "steps", "left", "optimum", "validation"):
            if width is None or len(" | ".join(parts.values())) <= width:
                break
            parts.pop(name, None)
        return " | ".join(parts.values())

    def _parts(self) -> dict[str, str]:
        facts = self.facts
        parts = {"step": f"step {self.step:,}/{facts.num_train_steps:,}"}
        for name, word in (("loss", "loss"), ("validation_loss", "validation")):
            if name in self._metrics:
                parts[word] = f"{word} {self._metrics[name]:.5f}"
        optimum, error = self._metrics.get("optimum"), self._metrics.get("optimum_error", 0.0)
        if isinstance(optimum, float) and isinstance(error, float):
            parts["optimum"] = f"optimum {optimum_text(optimum, error)}"
        rate = self._rate.per_second()
        if rate is not None and rate > 0:
            left = datetime.timedelta(seconds=round((facts.num_train_steps - self.step) / rate))
            parts["steps"] = f"{_steps(rate)} steps/s"
            parts["tokens"] = f"{_thousands(rate * facts.tokens_per_step)} tokens/s"
            parts["left"] = f"{left} left"
        return parts


def _steps(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _thousands(number: float) -> str:
    """Three significant digits and a unit: 950, 98.0k, 1.25M."""
    for unit in ("", "k", "M"):
        if number < 999.5:
            return f"{number:.{0 if not unit else 2 if number < 9.995 else 1 if number < 99.95 else 0}f}{unit}"
        number /= 1000
    return f"{number:,.2f}G"
