import math
import time

from ._logger import Logger, Metrics, RunFacts
from ._output import Output
from ._progress_report import ProgressReport


class PrintLogger(Logger):
    """Prints plain lines, few enough for a batch log: at once, then at intervals, and always the last step's.

    Args:
        seconds_between_lines: At least this long between two lines.

    Raises:
        ValueError: If `seconds_between_lines` is negative.
    """

    def __init__(self, seconds_between_lines: float) -> None:
        if not 0 <= seconds_between_lines < math.inf:
            raise ValueError(f"`seconds_between_lines` must be at least 0 and finite, got {seconds_between_lines}")
        self._seconds_between_lines = seconds_between_lines
        self._report: ProgressReport | None = None

    def start(self, facts: RunFacts) -> None:
        self._output = Output()
        self._report = ProgressReport(facts)
        self._printed_s = -math.inf
        self._has_news = False

    def log(self, step: int, metrics: Metrics) -> None:
        if self._report is not None:
            self._report.log(step, metrics)
            self._has_news = True
            self._print(at_once=step == self._report.facts.num_train_steps)

    def progress(self, step: int) -> None:
        if self._report is not None:
            self._report.reach(step, time.monotonic())
            self._has_news = True
            # The last step's metrics are still to come.
            if step < self._report.facts.num_train_steps:
                self._print(at_once=False)

    def flush(self) -> None:
        """Does nothing: lines are flushed as they are printed."""

    def close(self) -> None:
        self._print(at_once=True)
        self._report = None

    def _print(self, at_once: bool) -> None:
        now_s = time.monotonic()
        if self._report is None or not self._has_news:
            return
        if at_once or now_s - self._printed_s >= self._seconds_between_lines:
            self._output.write(f"{self._report.line()}\n")
            self._output.flush()
            self._printed_s, self._has_news = now_s, False
