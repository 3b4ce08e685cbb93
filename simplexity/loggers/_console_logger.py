"""A progress bar on a terminal, and plain lines everywhere else."""

from typing import IO, cast

from ._logger import Logger, Metrics, RunFacts
from ._print_logger import Output, PrintLogger


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
        # rich takes FORCE_COLOR for a terminal, which a file does not become by that. So it is not asked about files,
        # and not imported for them.
        bar = _progress_bar(output) if output.isatty() else None
        self._shown = self._lines if bar is None else bar
        self._shown.start(facts)

    def log(self, step: int, metrics: Metrics) -> None:
        self._shown.log(step, metrics)

    def progress(self, step: int) -> None:
        self._shown.progress(step)

    def flush(self) -> None:
        self._shown.flush()

    def close(self) -> None:
        self._shown.close()


def _progress_bar(output: Output) -> Logger | None:
    """The progress bar; None if the terminal cannot redraw a line."""
    from rich.console import Console

    from ._progress_bar import ProgressBarLogger

    console = Console(file=cast(IO[str], output))
    return ProgressBarLogger(console) if console.is_terminal and not console.is_dumb_terminal else None
