"""Plain lines on standard output, which may go away while a run continues: its pipe or terminal may be closed."""

import contextlib
import math
import shutil
import sys
import time

from simplexity.host import discard

from ._logger import Logger, Metrics, RunFacts
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
            width = shutil.get_terminal_size().columns if self._output.isatty() else None
            self._output.write(f"{self._report.line(width)}\n")
            self._output.flush()
            self._printed_s, self._has_news = now_s, False


class Output:
    """Text to what `sys.stdout` was at construction, until that fails; from then on, nowhere."""

    def __init__(self) -> None:
        self._stream = sys.stdout
        self._broken = False
        self.encoding = self._stream.encoding

    def write(self, text: str) -> int:
        if not self._broken:
            try:
                self._stream.write(text)
            except (OSError, ValueError):  # ValueError: the stream was closed
                self._give_up()
        return len(text)

    def flush(self) -> None:
        if not self._broken:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._give_up()

    def isatty(self) -> bool:
        return not self._stream.closed and self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def _give_up(self) -> None:
        self._broken = True
        # The unwritten text stays in the stream's buffer, and Python's own flush at exit would fail on it and turn
        # the exit code into 120. https://docs.python.org/3/library/signal.html#note-on-sigpipe
        with contextlib.suppress(OSError, ValueError):
            discard(self._stream.fileno())
