"""What a run has printed: its log, copied once, or followed until the run has ended for good."""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from simplexity.runs import RunDirectory, UnreadableError, is_there, sleep

from ._directory import SweepDirectory
from ._log_end import LogEnd, log_end
from ._look_up import sweep_of
from ._manifest import SweepRun
from ._run_files import reading_failure
from ._text import display_path, printable
from ._watch import stop_on_signal

_POLL_S = 0.5
# Between two questions whether the run has ended, of which one may go to SLURM; a run may wait for days.
_PAUSE_S, _WAITING_PAUSE_S = 5.0, 30.0
_PIECE_BYTES = 2**20
_CTRL_C = "; Ctrl-C ends only this command"


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
        # Named after the program, or whatever `hydra.job.name` says. It has also what `simplexity resume` has printed.
        if paths := sorted(directory.path.glob("*.log")):
            return RunLog(shown, paths[0], _end_by_folder(directory))
        if (place := _place_in_sweep(directory)) is None:
            raise RuntimeError(f"`{shown}` has no log: there is no file *.log")
        return _log_of(*place)
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
        remark: Gets a line whenever the run has come into a state in which it prints nothing, and when its files cannot
            be read, which ends nothing: a file server may answer again.

    Raises:
        RuntimeError: If the run's files, or the sweep's, are corrupt.
    """
    tail = _Tail(log.path, output, remark)
    end, asked_s = LogEnd(False, ""), -math.inf
    with stop_on_signal() as sleep:
        has_printed = tail.copy()
        while True:
            # A run that prints waits no longer.
            pause_s = _WAITING_PAUSE_S if end.words and not has_printed else _PAUSE_S
            if time.monotonic() - asked_s >= pause_s:
                earlier, end = end, _end(log)
                asked_s, has_printed = time.monotonic(), False
                if end.words not in ("", earlier.words) and not end.has_come:
                    remark(f"{log.run} is {end.words}{_CTRL_C}")
            # Also what it has printed before it ended.
            has_printed |= tail.copy()
            if (end.has_come and not tail.problem) or sleep(_POLL_S):
                break
    if end.has_come:
        remark(f"{log.run} is {end.words}")


class _Tail:
    """Copies a log that grows, piece by piece.

    Args:
        path: The log, which need not be there yet.
        output: Where to.
        remark: Gets a line when the log cannot be read any more.

    Attributes:
        problem: Why it cannot be read now; empty if it can.
    """

    def __init__(self, path: Path, output: BinaryIO, remark: Callable[[str], None]):
        self.problem = ""
        self._path, self._output, self._remark = path, output, remark
        self._position = 0

    def copy(self) -> bool:
        """Copies what has been added since the last call; says whether anything was."""
        start = self._position
        while piece := self._read():
            self._output.write(piece)
            self._position += len(piece)
        self._output.flush()
        return self._position > start

    def _read(self) -> bytes:
        earlier, self.problem = self.problem, ""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._position)
                return file.read(_PIECE_BYTES)
        except FileNotFoundError:
            pass  # it has not begun
        except OSError as error:
            self.problem = f"{self._path} cannot be read: {error.strerror}"
            if self.problem != earlier:
                self._remark(f"{self.problem}{_CTRL_C}")
        return b""


def _end(log: RunLog) -> LogEnd:
    """Whether the run has ended. Where files cannot be read now, a later question finds out more."""
    try:
        return log.end()
    except (UnreadableError, OSError) as error:
        # What a command that ends would say, to start it again, is wrong here.
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        return LogEnd(False, printable(f"unreadable: {reading_failure(cause)}"))


def _read_once(pause_s: float) -> bool:
    """The `wait` of a question whether the run has ended: the next question is the next try at reading."""
    return True


def _end_by_folder(directory: RunDirectory) -> Callable[[], LogEnd]:
    """Of a run that is named by its folder: the sweep that it may belong to is looked up when that is asked."""
    place: tuple[SweepDirectory, SweepRun] | None = None

    def end() -> LogEnd:
        nonlocal place
        try:
            place = place or _place_in_sweep(directory, _read_once)
        except UnreadableError:
            raise
        except RuntimeError:
            pass  # the manifest is corrupt: what the run's own files say is known
        return log_end(directory, place)

    return end


def _place_in_sweep(
    directory: RunDirectory, wait: Callable[[float], bool] = sleep
) -> tuple[SweepDirectory, SweepRun] | None:
    """The sweep of a run that is named by its folder, and which of its runs it is; None if it belongs to no sweep."""
    sweep = sweep_of(directory.path)
    if sweep is None:
        return None
    sweep = replace(sweep, wait=wait)
    runs = sweep.read_manifest().runs
    return next(((sweep, run) for run in runs if sweep.run_directory(run) == directory), None)


def _log_of(sweep: SweepDirectory, run: SweepRun) -> RunLog:
    directory, place = sweep.run_directory(run), (replace(sweep, wait=_read_once), run)
    return RunLog(f"run {run.index}", sweep.log_path(run.index), lambda: log_end(directory, place))
