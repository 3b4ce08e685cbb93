"""What a run has printed: its log, copied once, or followed until the run ends."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from simplexity.runs import RunDirectory, is_alive, is_there

from ._directory import SweepDirectory
from ._run_status import ACTIVE_STATES
from ._sweep_status import read_status
from ._text import display_path
from ._watch import stop_on_signal

_POLL_S = 0.5
# Asking for the state may mean to ask SLURM.
_POLLS_PER_STATUS = 10


class RunLog(NamedTuple):
    """The log of a run.

    Attributes:
        run: As messages call the run.
        path: Where the log is; a run that has not begun has none yet.
        has_ended: Says whether the run has ended.
    """

    run: str
    path: Path
    has_ended: Callable[[], bool]


def find_log(folder: Path, index: int | None) -> RunLog:
    """The log that a command names.

    Args:
        folder: Of a sweep, or of one run.
        index: The run's index in the sweep; None for one run.

    Raises:
        ValueError: If there is no such run.
        RuntimeError: If the run has no log, or the sweep's manifest is corrupt.
    """
    directory = RunDirectory(folder.absolute())
    shown = display_path(directory.path)
    if index is None and is_there(directory.config_path):
        # Named after the program, or whatever `hydra.job.name` says.
        paths = sorted(directory.path.glob("*.log"))
        if not paths:
            raise RuntimeError(f"`{shown}` has no log: there is no file *.log")
        return RunLog(shown, paths[0], lambda: not is_alive(directory.lock_path))
    sweep = SweepDirectory.open(folder, for_one_run="its log is printed without an index: simplexity logs {folder}")
    if index is None:
        last = len(sweep.read_manifest().runs) - 1
        raise ValueError(f"`{shown}` is a sweep: add the index of one of its runs, 0 to {last}")
    run = sweep.read_run(index)

    def has_ended() -> bool:
        return next(one.state for one in read_status(sweep).runs if one.run == run) not in ACTIVE_STATES

    return RunLog(f"run {index}", sweep.log_path(index), has_ended)


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


def follow_log(log: RunLog, output: BinaryIO) -> None:
    """Copies what a run has printed and prints, until it ends, or until Ctrl-C, which does not stop the run.

    Args:
        log: As `find_log` returns it. A run that has not begun is waited for.
        output: Where to; flushed after each piece.

    Raises:
        OSError: If the log cannot be read.
    """
    position = polls = 0
    ended = False
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
            if ended or sleep(0 if polls == 0 else _POLL_S):
                return
            if polls % _POLLS_PER_STATUS == 0:
                # What it printed before it ended is copied once more round.
                ended = log.has_ended()
            polls += 1
