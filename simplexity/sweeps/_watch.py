"""Following a sweep until it ends or Ctrl-C is typed."""

import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from simplexity.runs import wants_colour

from ._directory import SweepDirectory
from ._run_status import ACTIVE_STATES
from ._status_text import FILES_ALONE, next_commands, status_lines, totals
from ._sweep_status import SweepStatus, read_status
from ._text import display_path, printable

# Waits for that many seconds; True if a stop was requested.
_Sleep = Callable[[float], bool]

_POLL_S = 0.1
_REFRESH_S = 2.0
_LARGE_REFRESH_S = 10.0
_LARGE = 200


def watch(sweep: SweepDirectory) -> SweepStatus:
    """Shows the sweep until all its runs have ended, or until Ctrl-C, which does not stop the runs.

    A terminal gets the table on a screen of its own, and then the last one for good. Anything else gets the line of
    totals whenever the number of runs in some state has changed, and the commands at the end.

    Returns:
        The last status.
    """
    shown_path = display_path(sweep.path)
    with stop_on_signal() as sleep:
        return (_watch_on_terminal if sys.stdout.isatty() else _watch_plainly)(sweep, shown_path, sleep)


@contextmanager
def stop_on_signal() -> Iterator[_Sleep]:
    """Ctrl-C and SIGTERM end a sleep and nothing else, for there is nothing to save."""
    requested = False

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        requested = True

    def sleep(seconds: float) -> bool:
        end_s = time.monotonic() + seconds
        while not requested and (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(_POLL_S, left_s))
        return requested

    found = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield sleep
    finally:
        for number, handler in found.items():
            signal.signal(number, handler)


def _read_again(sweep: SweepDirectory, earlier: SweepStatus | None) -> SweepStatus:
    """The status now. While SLURM does not answer, a run that had ended is not taken for one that waits."""
    status = read_status(sweep)
    if earlier is None or not status.remark:
        return status
    known = {run.run.index: run for run in earlier.runs if run.state not in ACTIVE_STATES}
    return status._replace(runs=[known.get(run.run.index, run) for run in status.runs])


def _watch_plainly(sweep: SweepDirectory, shown_path: str, sleep: _Sleep) -> SweepStatus:
    status = None
    while True:
        earlier, status = status, _read_again(sweep, status)
        if status.remark and (earlier is None or earlier.remark != status.remark):
            print(f"{printable(status.remark)}{FILES_ALONE}", flush=True)
        if earlier is None or status.counts != earlier.counts:
            print(totals(status), flush=True)
        if status.has_ended or sleep(_pause_s(status)):
            break
    print(*next_commands(shown_path, status), sep="\n", flush=True)
    return status


def _watch_on_terminal(sweep: SweepDirectory, shown_path: str, sleep: _Sleep) -> SweepStatus:
    from rich.live import Live
    from rich.text import Text

    # On the alternate screen a terminal that is resized, and the ^C that it echoes, leave nothing behind.
    status = None
    with Live(auto_refresh=False, screen=True) as live:
        while True:
            status = _read_again(sweep, status)
            columns, lines = shutil.get_terminal_size()
            colour = wants_colour(sys.stdout)
            text = "\n".join(status_lines(shown_path, status, width=columns, height=lines, colour=colour))
            shown = Text.from_ansi(text, no_wrap=True)
            live.update(shown, refresh=True)
            if status.has_ended or sleep(_pause_s(status)):
                break
    print(text, flush=True)
    return status


def _pause_s(status: SweepStatus) -> float:
    """Between two looks: a large sweep's take a while, and a file server serves others too."""
    return _REFRESH_S if len(status.runs) < _LARGE else _LARGE_REFRESH_S
