"""A progress bar on a terminal, and plain lines everywhere else."""

import time
from typing import IO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from ._logger import Logger, Metrics, RunFacts
from ._print_logger import Output, PrintLogger
from ._progress_report import ProgressReport

_SECONDS_BETWEEN_REFRESHES = 0.1


class ConsoleLogger(Logger):
    """Shows a progress bar on a terminal; prints plain lines where standard output is a file, a pipe or a batch log.

    Args:
        seconds_between_lines: At least this long between two plain lines.

    Raises:
        ValueError: If `seconds_between_lines` is negative.
    """

    def __init__(self, seconds_between_lines: float) -> None:
        self._lines = PrintLogger(seconds_between_lines)
        self._shown: Logger = self._lines

    def start(self, facts: RunFacts) -> None:
        output = Output()
        console = Console(file=cast(IO[str], output))
        # rich takes FORCE_COLOR for a terminal, which a file does not become by that.
        is_terminal = output.isatty() and console.is_terminal and not console.is_dumb_terminal
        self._shown = _Bar(console) if is_terminal else self._lines
        self._shown.start(facts)

    def log(self, step: int, metrics: Metrics) -> None:
        self._shown.log(step, metrics)

    def progress(self, step: int) -> None:
        self._shown.progress(step)

    def flush(self) -> None:
        self._shown.flush()

    def close(self) -> None:
        self._shown.close()


class _Bar(Logger):
    """A line of text and a bar under it, redrawn in place. What others print meanwhile scrolls above them."""

    def __init__(self, console: Console) -> None:
        # No refreshing thread: it would compete with training for the interpreter.
        self._live = Live(console=console, auto_refresh=False)
        self._report: ProgressReport | None = None

    def start(self, facts: RunFacts) -> None:
        self._report = ProgressReport(facts)
        self._refreshed_s = 0.0
        self._live.start()
        self._refresh(at_once=True)

    def log(self, step: int, metrics: Metrics) -> None:
        if self._report is not None:
            self._report.log(step, metrics)
            self._refresh(at_once=False)

    def progress(self, step: int) -> None:
        if self._report is not None:
            self._report.reach(step, time.monotonic())
            self._refresh(at_once=False)

    def flush(self) -> None:
        """Does nothing: a terminal keeps nothing."""

    def close(self) -> None:
        self._refresh(at_once=True)
        self._report = None
        self._live.stop()

    def _refresh(self, at_once: bool) -> None:
        now_s = time.monotonic()
        if self._report is None or (now_s - self._refreshed_s < _SECONDS_BETWEEN_REFRESHES and not at_once):
            return
        self._refreshed_s = now_s
        bar = ProgressBar(self._report.facts.num_train_steps, self._report.step, complete_style="cyan")
        self._live.update(Group(Text(self._report.line(self._live.console.width)), bar), refresh=True)
