"""A worker of a sweep: one process that executes unfinished runs, one or several at a time, until none is left."""

import os
import shlex
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from simplexity.host import PreemptionGuard
from simplexity.runs import ExitCode, RunLock

from ._cancel import stop_others
from ._directory import SweepDirectory
from ._launch_settings import stops_on_failure
from ._live_workers import BY_HAND, registered
from ._queue import RunQueue, walk_from
from ._stop_requests import obey_stop_requests
from ._text import display_path
from ._worker_output import WorkerOutput
from ._worker_place import WorkerPlace, runs_of_worker
from ._worker_record import WorkerRecord
from ._worker_runs import Executor, WorkerRuns


def drain(
    sweep: SweepDirectory,
    guard: PreemptionGuard,
    executor: Executor,
    place: WorkerPlace | None = None,
    make_lock: Callable[[Path, Callable[[], None]], RunLock] = lambda path, on_lost: RunLock(path, on_lost=on_lost),
) -> ExitCode:
    """Executes runs of a sweep until no unfinished run is left that is free, or a stop is requested.

    A run that fails does not end the worker, unless the sweep was launched with `on_failure=stop`. A run that is
    stopped by a request of `guard` is the first that the next process of the same place executes. If another process
    takes over the run that this one executes (because this one was frozen), the worker begins anew as a fresh process:
    nothing that this one still computes must be written.

    Args:
        sweep: The sweep.
        guard: Installed; says whether a stop was requested.
        executor: Executes a run.
        place: Which of a submission's workers this is; None for one that was started by hand, which executes the runs
            of all submissions.
        make_lock: Makes the lock of a run's folder, from the lock's path and what to call when it is lost.

    Returns:
        COMPLETE if no run has failed here, FAILED if one has or cannot be read, REQUEUE if a stop was requested.

    Raises:
        ValueError: If there is no such submission.
        RuntimeError: If the manifest cannot be read.
    """
    manifest = sweep.read_manifest()
    names, runs = runs_of_worker(sweep, manifest, place, guard)
    # An array task is cancelled by SLURM, which also knows whether it is alive.
    is_array_task = place is not None and manifest.launch.on_slurm
    output = WorkerOutput()
    with ExitStack() as stack:
        stack.enter_context(output.messages_of(guard))
        registration = None
        if not is_array_task:
            stack.enter_context(obey_stop_requests(sweep, guard))
            registration = stack.enter_context(registered(sweep, BY_HAND if place is None else place.name))

        def begin_anew() -> None:
            """Called in a thread of a run's lock, whatever the process is in the middle of."""
            if work.is_together:
                # A run among several ends by itself where it writes next: each of its files asks for the lock.
                return
            with suppress(OSError):  # whoever would read it may be gone
                os.write(2, b"another process has taken over this run; this worker leaves it and takes the next\n")
            output.put_back()
            if registration is not None:
                registration.release(remove=True)
            try:
                if not guard.requested():
                    executor.renew()
            finally:
                # Whatever happens, this process ends: what has started it starts it again.
                os._exit(ExitCode.REQUEUE)

        number, num_workers = (0, 1) if place is None else (place.number, place.num_workers)
        record = None if place is None else WorkerRecord(sweep.worker_path(place.name))
        interrupted = {} if record is None else _interrupted_runs(record)
        if record is not None:
            record.start()
        queue = RunQueue(
            sweep,
            walk_from(runs, number, num_workers),
            names,
            lambda directory: make_lock(directory.lock_path, begin_anew),
            guard.wait,
            interrupted,
        )
        work = WorkerRuns(sweep, manifest, guard, executor, output, record, names)
        work.execute_all(queue)
    if work.failed and stops_on_failure(manifest.launch):
        stop_others(sweep, work.failed[0], as_array_task=is_array_task)
        return ExitCode.FAILED
    if guard.requested():
        if place is None:
            output.print_line(f"stopped; to continue: simplexity work {shlex.quote(display_path(sweep.path))}")
        return ExitCode.REQUEUE
    if work.has_postponed:
        executor.renew()
    return ExitCode.FAILED if work.failed or queue.has_passed_over else ExitCode.COMPLETE


def _interrupted_runs(record: WorkerRecord) -> dict[int, int]:
    """The runs that earlier processes of this worker have begun and not ended, and how many have died in each."""
    interrupted: dict[int, int] = {}
    for index, exit_code in record.read_new():
        if exit_code is None:
            interrupted[index] = interrupted.get(index, 0) + 1
        elif exit_code == ExitCode.REQUEUE:
            interrupted[index] = interrupted.get(index, 1) - 1
        else:
            interrupted.pop(index, None)
    return interrupted
