"""The progress bar of a run on a terminal. Imports rich, which runs without a terminal do not wait for."""

import time

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from ._logger import Logger, Metrics, RunFacts
from ._progress_report import ProgressReport

_SECONDS_BETWEEN_REFRESHES = 0.1


class ProgressBarLogger(Logger):
    """A line of text and a bar under it, redrawn in place. What others print meanwhile scrolls above them.

    Args:
        console: A terminal's.
    """

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
