"""Ending a sweep's runs for good, until somebody retries them."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from simplexity.cluster import cancel as cancel_jobs
from simplexity.runs import Liveness, liveness, read_holder

from ._directory import SweepDirectory
from ._scheduler_state import slurm_tasks
from ._submissions import read_submissions
from ._sweep_status import read_all


def cancel(sweep: SweepDirectory) -> str:
    """Tells all that is going on to save and leave; nothing of it comes back.

    Returns:
        One line on what was done.

    Raises:
        RuntimeError: If SLURM does not answer, or a process is not within reach.
    """
    manifest = sweep.read_manifest()
    unfinished = {i: files for i, files in read_all(sweep, manifest.runs).items() if files.completion is None}
    if manifest.launch.on_slurm:
        tasks = slurm_tasks(sweep, read_submissions(sweep), unfinished)
        cancel_jobs(tasks)
        return f"cancelled what SLURM had left of {len(tasks)} array tasks; runs that were going on save first"
    # The process that drives the sweep tells its runs; without it, each is told itself.
    if _stop(sweep.lock_path):
        return "told the process that executes the sweep; its runs save and leave"
    told = [run.index for run in manifest.runs if run.index in unfinished and _stop(sweep.run_directory(run).lock_path)]
    return f"told {len(told)} runs to save and leave" if told else "nothing was going on"


def _stop(lock_path: Path) -> bool:
    """Asks a lock's holder to leave; False if nobody holds it."""
    holder = read_holder(lock_path)
    if holder is None or holder.owner is None:
        return False
    match liveness(holder.owner):
        case Liveness.DEAD:
            return False
        case Liveness.UNSEEN:
            owner = holder.owner
            raise RuntimeError(f"process {owner.pid} is on {owner.host}; cancel there, or type there: kill {owner.pid}")
    with suppress(ProcessLookupError):
        os.kill(holder.owner.pid, signal.SIGTERM)
    return True
