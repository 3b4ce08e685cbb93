"""What a run has printed: its log, copied once, or followed until the run has ended for good."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from simplexity.runs import EventKind, RunDirectory, UnreadableError, is_alive, is_there, read_ledger

from ._directory import SweepDirectory
from ._look_up import sweep_of
from ._manifest import SweepRun
from ._run_status import ACTIVE_STATES, UNFINISHED_STATES, RunState
from ._sweep_status import read_status
from ._text import display_path, printable
from ._watch import stop_on_signal

_POLL_S = 0.5
# Asking for the state may mean to ask SLURM.
_POLLS_PER_STATUS = 10


class LogEnd(NamedTuple):
    """Whether more will be printed to a log.

    Attributes:
        has_come: Whether the run is complete, or nothing starts it again by itself.
        words: In what state the run is, if no process has it now; empty if one has.
    """

    has_come: bool
    words: str


class RunLog(NamedTuple):
    """The log of a run.

    Attributes:
        run: As messages call the run.
        path: Where the log is; a run that has not begun has none yet.
        end: Says whether the run has ended.
    """

    run: str
    path: Path
    end: Callable[[], LogEnd]


def find_log(folder: Path, index: int | None) -> RunLog:
    """The log that a command names.

    Args:
        folder: Of a sweep, or of one run, also of a run of a sweep.
        index: The run's index in the sweep; None for one run.

    Raises:
        ValueError: If there is no such run.
        RuntimeError: If the run has no log, or the sweep's manifest is corrupt.
    """
    directory = RunDirectory(folder.absolute())
    shown = display_path(directory.path)
    if index is None and is_there(directory.config_path):
        in_sweep = _log_in_sweep(directory)
        # Named after the program, or whatever `hydra.job.name` says. It has also what `simplexity resume` has printed.
        if paths := sorted(directory.path.glob("*.log")):
            return RunLog(shown, paths[0], lambda: _end_of_run(directory) if in_sweep is None else in_sweep.end())
        if in_sweep is None:
            raise RuntimeError(f"`{shown}` has no log: there is no file *.log")
        return in_sweep
    sweep = SweepDirectory.open(folder, for_one_run="its log is printed without an index: simplexity logs {folder}")
    if index is None:
        last = len(sweep.read_manifest().runs) - 1
        raise ValueError(f"`{shown}` is a sweep: add the index of one of its runs, 0 to {last}")
    return _log_of(sweep, sweep.read_run(index))


def copy_log(log: RunLog, output: BinaryIO) -> None:
    """Copies all that a run has printed so far.

    Args:
        log: As `find_log` returns it.
        output: Where to.

    Raises:
        RuntimeError: If it has printed nothing.
    """
    try:
        with open(log.path, "rb") as file:
            shutil.copyfileobj(file, output)
    except FileNotFoundError:
        raise RuntimeError(f"{log.run} has printed nothing yet: it has not begun") from None


def follow_log(log: RunLog, output: BinaryIO, remark: Callable[[str], None]) -> None:
    """Copies what a run has printed and prints, until it has ended, or until Ctrl-C, which does not stop the run.

    Args:
        log: As `find_log` returns it. A run that has not begun, or waits for its next start, is waited for.
        output: Where to; flushed after each piece.
        remark: Gets a line whenever the run has come into a state in which it prints nothing.

    Raises:
        OSError: If the log cannot be read.
    """
    position = polls = 0
    end = LogEnd(False, "")
    with stop_on_signal() as sleep:
        while True:
            try:
                with open(log.path, "rb") as file:
                    file.seek(position)
                    shutil.copyfileobj(file, output)
                    position = file.tell()
                output.flush()
            except FileNotFoundError:
                pass  # it has not begun
            if end.has_come or sleep(0 if polls == 0 else _POLL_S):
                break
            if polls % _POLLS_PER_STATUS == 0:
                # What it printed before it ended is copied once more round.
                earlier, end = end, _end(log, end)
                if end.words not in ("", earlier.words) and not end.has_come:
                    remark(f"{log.run} is {end.words}; Ctrl-C ends only this command")
            polls += 1
    if end.has_come:
        remark(f"{log.run} is {end.words}")


def _end(log: RunLog, earlier: LogEnd) -> LogEnd:
    try:
        return log.end()
    except UnreadableError:
        return earlier


def _log_in_sweep(directory: RunDirectory) -> RunLog | None:
    """The log of a run that is named by its folder; None if it belongs to no sweep."""
    sweep = sweep_of(directory.path)
    if sweep is None:
        return None
    runs = sweep.read_manifest().runs
    return next((_log_of(sweep, run) for run in runs if sweep.run_directory(run) == directory), None)


def _log_of(sweep: SweepDirectory, run: SweepRun) -> RunLog:
    def end() -> LogEnd:
        status = read_status(sweep)
        one = next(one for one in status.runs if one.run == run)
        if one.state in ACTIVE_STATES:
            return LogEnd(False, "" if one.state == RunState.RUNNING else one.state.value)
        if status.remark and one.state in UNFINISHED_STATES:
            # Without SLURM's answer it is not known whether it will be started again.
            return LogEnd(False, printable(f"not running: {status.remark}"))
        words = printable(f"{one.state}: {one.reason}" if one.reason else one.state.value)
        if one.state in UNFINISHED_STATES:
            words = f"{words}; to start it again: simplexity retry {shlex.quote(display_path(sweep.path))}"
        return LogEnd(True, words)

    return RunLog(f"run {run.index}", sweep.log_path(run.index), end)


def _end_of_run(directory: RunDirectory) -> LogEnd:
    """Of a run that belongs to no sweep. What SLURM will do is not asked: its job may have a successor."""
    if is_alive(directory.lock_path):
        return LogEnd(False, "")
    if directory.read_completion() is not None:
        return LogEnd(True, "complete")
    event = next(reversed(read_ledger(directory.ledger_path)), None)
    if event is None:
        return LogEnd(False, "pending")
    if event.kind == EventKind.FAILED and not event.comes_back:
        return LogEnd(True, printable(f"failed: {event.reason}"))
    if event.slurm is not None:
        return LogEnd(False, "waiting for the next start of its job")
    again = f"to start it again: simplexity resume {shlex.quote(display_path(directory.path))}"
    return LogEnd(True, f"stopped; {again}")
