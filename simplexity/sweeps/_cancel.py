"""Stopping what executes the runs of a sweep: `simplexity cancel`, and the end of the others where a run has failed."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from simplexity.cluster import SlurmError, slurm_is_installed
from simplexity.cluster import cancel as cancel_jobs
from simplexity.runs import Liveness, counted, is_alive, liveness, read_holder

from ._directory import SweepDirectory
from ._launch_settings import stops_on_failure
from ._live_workers import live_worker_locks
from ._manifest import SweepRun
from ._scheduler_state import slurm_tasks
from ._stop_requests import request_stop
from ._sweep_status import read_unfinished


def cancel(sweep: SweepDirectory) -> str:
    """Requests a stop of every pending and running run: it saves and exits, and is not started again by itself.

    Returns:
        One line on what was done.

    Raises:
        RuntimeError: If SLURM does not answer, or a process is not within reach.
    """
    manifest = sweep.read_manifest()
    unfinished = read_unfinished(sweep, manifest.runs)
    # Workers that were started by hand, on this or another machine, and those between two runs.
    request_stop(sweep, "simplexity cancel")
    workers = live_worker_locks(sweep)
    by_hand = f"; also requested a stop of {counted(len(workers), 'worker')} started by hand" if workers else ""
    if manifest.launch.on_slurm:
        tasks = slurm_tasks(sweep, sweep.read_submissions(), unfinished)
        if not tasks:
            return f"no run is pending or running{by_hand}"
        cancel_jobs(tasks)
        return f"cancelled the unfinished ones of {counted(len(tasks), 'array task')}; running ones save first{by_hand}"
    # The process that executes the sweep stops its runs; where there is none, each worker and each run is stopped.
    if is_alive(sweep.lock_path):
        _stop(sweep.lock_path, hears_requests=True)
        return "requested a stop of the process that executes the sweep; its runs save and exit"
    for lock_path in workers:
        _stop(lock_path, hears_requests=True)
    runs = [sweep.run_directory(run).lock_path for run in manifest.runs if run.index in unfinished]
    stopped = sum(_stop(lock_path, hears_requests=bool(workers)) for lock_path in runs)
    if workers:
        return f"requested a stop of {counted(len(workers), 'worker')}; their runs save and exit"
    return f"requested a stop of {counted(stopped, 'run')}; each saves and exits" if stopped else "no run is running"


def stop_others(sweep: SweepDirectory, failed: SweepRun, *, as_array_task: bool) -> None:
    """Stops whatever else executes runs of a sweep, of which one has failed, where `on_failure=stop` was chosen.

    Args:
        sweep: The sweep.
        failed: The run that has failed.
        as_array_task: Whether this process is one: its batch script then cancels the others, outside any container.
    """
    manifest = sweep.read_manifest()
    if not stops_on_failure(manifest.launch):
        return
    request_stop(sweep, f"run {failed.index} has failed, and hydra.launcher.on_failure=stop")
    if manifest.launch.on_slurm and not as_array_task and slurm_is_installed():
        # Where SLURM does not answer, its tasks continue, which loses no work.
        with suppress(SlurmError):
            cancel_jobs(slurm_tasks(sweep, sweep.read_submissions(), read_unfinished(sweep, manifest.runs)))


def _stop(lock_path: Path, *, hears_requests: bool) -> bool:
    """Sends SIGTERM to the process that holds a lock; False if none does.

    Args:
        lock_path: The lock.
        hears_requests: Whether the process stops at a request in the sweep's folder, also on another machine.
    """
    holder = read_holder(lock_path)
    if holder is None or holder.owner is None or not is_alive(lock_path):
        return False
    owner = holder.owner
    if liveness(owner) is Liveness.ALIVE:
        with suppress(ProcessLookupError):
            os.kill(owner.pid, signal.SIGTERM)
    elif not hears_requests:
        raise RuntimeError(f"process {owner.pid} is on {owner.host}; cancel there, or type there: kill {owner.pid}")
    return True
