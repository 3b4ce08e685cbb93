"""What a run has printed, and prints."""

import shutil
from typing import BinaryIO

from ._directory import SweepDirectory
from ._manifest import SweepRun
from ._run_status import GOING_ON
from ._sweep_status import read_status
from ._watch import departure

_POLL_S = 0.5
# Asking for the state may mean to ask SLURM.
_POLLS_PER_STATUS = 10


def copy_log(sweep: SweepDirectory, run: SweepRun, output: BinaryIO) -> None:
    """Copies all that a run has printed so far.

    Raises:
        RuntimeError: If it has printed nothing.
    """
    try:
        with open(sweep.log_path(run.index), "rb") as log:
            shutil.copyfileobj(log, output)
    except FileNotFoundError:
        raise RuntimeError(f"run {run.index} has printed nothing yet: it has not begun") from None


def follow_log(sweep: SweepDirectory, run: SweepRun, output: BinaryIO) -> None:
    """Copies what a run has printed and prints, until it ends, or until Ctrl-C, which leaves the run alone."""
    position = polls = 0
    ended = False
    with departure() as sleep:
        while True:
            try:
                with open(sweep.log_path(run.index), "rb") as log:
                    log.seek(position)
                    shutil.copyfileobj(log, output)
                    position = log.tell()
                output.flush()
            except FileNotFoundError:
                pass  # it has not begun
            if ended or sleep(0 if polls == 0 else _POLL_S):
                return
            if polls % _POLLS_PER_STATUS == 0:
                # What it printed before it ended is copied once more round.
                ended = next(one.state for one in read_status(sweep).runs if one.run == run) not in GOING_ON
            polls += 1
