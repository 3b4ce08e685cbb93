"""A test job: one run of a sweep of its own, which is told to stop as SLURM does it, and then cancelled.

It goes the way of every run of a sweep: the batch script, the container, the frozen config, the requeue. So what works
here works there. All that is known of it is read from its files, which also shows that both machines see one folder.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from simplexity.cluster import SlurmError
from simplexity.host import PreemptionGuard
from simplexity.sweeps import SweepDirectory, cancel, read_status

from ._check_result import Finding
from ._stop_times import Stop
from ._test_job_watch import TestJob, TestJobError
from ._test_job_settings import Rehearsal

_POLL_S = 1.0
_LEAVE_S = 60.0


def rehearse(
    rehearsal: Rehearsal, guard: PreemptionGuard, tell: Callable[[str], object], stops: list[Stop]
) -> Iterator[Finding]:
    """Submits the test job, follows it, and cancels it, whatever happens.

    Args:
        rehearsal: The run.
        guard: Installed; asked whether to leave.
        tell: Is told what is being waited for.
        stops: Gets the stop of the test job.

    Raises:
        RuntimeError: If somebody wants to leave.
    """
    sweep = SweepDirectory(rehearsal.folder / f"doctor-{time.strftime('%Y-%m-%d-%H-%M-%S')}")
    failed, was_there = False, rehearsal.folder.exists()
    try:
        try:
            yield from TestJob(rehearsal, sweep, guard, tell).findings(stops)
        except TestJobError as trouble:
            failed = True
            yield trouble.finding
    finally:
        tell("cancelling the test job")
        _clear_away(sweep, keep=failed and sweep.log_path(0).exists())
        tell("")
        if not was_there:
            with suppress(OSError):  # what failed is kept there
                rehearsal.folder.rmdir()


def _clear_away(sweep: SweepDirectory, *, keep: bool) -> None:
    """Cancels what is left of the test job, and removes its folder once nothing writes there."""
    if not sweep.manifest_path.exists():
        shutil.rmtree(sweep.path, ignore_errors=True)
        return
    with suppress(SlurmError):  # a controller that is down has nothing running to cancel but by hand
        cancel(sweep)
    if keep:
        return
    patience_s = time.monotonic() + _LEAVE_S
    while time.monotonic() < patience_s and not read_status(sweep).has_ended:
        time.sleep(_POLL_S)
    shutil.rmtree(sweep.path, ignore_errors=True)
