"""What a process knows of the job that it runs in, and the exit code that it answers with.

SLURM's own variables name the job. The batch script, or the launcher of a local sweep, adds which submission it belongs
to and when its time limit is due.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from typing import Any, NamedTuple

# What a thread of a worker knows instead of the process's environment: the runs of a pack begin at different times.
_of_thread: ContextVar[Mapping[str, str] | None] = ContextVar("variables of the job", default=None)
# SLURM may send the signal that announces the time limit so much too early.
_EARLY_S = 60.0


class ExitCode(IntEnum):
    """How a run's process ended, for the shell, the batch script and SLURM.

    The batch script acts on one of them only: it requeues the job when it sees `REQUEUE`. The value 85 is none that
    Python, shells (126 and more) or sysexits.h (64 to 78) use.
    """

    COMPLETE = 0
    """The run has finished, now or earlier: its directory holds `COMPLETE`."""
    FAILED = 1
    """Something failed (disk, NaN, no progress, a file that cannot be read); nothing starts the run again by itself."""
    BAD_CONFIG = 2
    """The config or the command line is wrong; nothing was trained."""
    REQUEUE = 85
    """A stop was requested and everything is saved: the run has to be started again."""


class SlurmIds(NamedTuple):
    """Which SLURM job a process belongs to.

    A requeued job, array task or not, keeps its `job_id` and gets a higher `restart_count`.
    """

    job_id: str
    array_job_id: str | None
    array_task_id: str | None
    restart_count: int
    node: str | None
    cluster: str | None

    def is_requeue_of(self, other: "SlurmIds | None") -> bool:
        """Whether this is a later incarnation of the job that `other` names."""
        return (
            other is not None
            and (self.cluster, self.job_id) == (other.cluster, other.job_id)
            and self.restart_count > other.restart_count
        )


def slurm_ids(environment: Mapping[str, str] | None = None) -> SlurmIds | None:
    """The ids in the environment (by default this process's); None outside a SLURM job."""
    values = os.environ if environment is None else environment
    if not (job_id := values.get("SLURM_JOB_ID")):
        return None
    return SlurmIds(
        job_id=job_id,
        array_job_id=values.get("SLURM_ARRAY_JOB_ID"),
        array_task_id=values.get("SLURM_ARRAY_TASK_ID"),
        # SLURM sets it from the first requeue on.
        restart_count=int(values.get("SLURM_RESTART_COUNT") or 0),
        node=values.get("SLURMD_NODENAME"),
        cluster=values.get("SLURM_CLUSTER_NAME"),
    )


def slurm_ids_from_json(record: Mapping[str, Any] | None) -> SlurmIds | None:
    return None if record is None else SlurmIds(**record)


class Job(NamedTuple):
    """The job of a process, as the script that started it has put it into the environment.

    Attributes:
        submission: Names the submission: the same for every restart of the job, and another after a retry by hand.
        start: Unix time of the job's start, by the clock of its first node.
        time_limit_s: Its time limit; None if it is not known.
        signal_lead_s: How long before the time limit a stop is requested.
    """

    submission: str
    start: float = 0.0
    time_limit_s: int | None = None
    signal_lead_s: int = 0

    def is_over(self, now: float) -> bool:
        """Whether a signal to stop that came at `now` announced the time limit."""
        if self.time_limit_s is None:
            return False
        usable_s = self.time_limit_s - self.signal_lead_s
        return now - self.start >= usable_s - min(_EARLY_S, usable_s / 2)


@contextmanager
def thread_job(submission: str | None, *, starts_now: bool) -> Iterator[None]:
    """What this thread knows of its job within the `with` block, in which it executes a run of a sweep.

    Args:
        submission: Name of the run's last submission; None if it has none.
        starts_now: Whether the run's time begins now. A run that begins late in its worker's time, and is stopped by
            the time limit, has not used the whole time in vain.
    """
    variables = {name: value for name, value in os.environ.items() if name.startswith("SIMPLEXITY_")}
    variables.pop("SIMPLEXITY_SUBMISSION", None)
    if submission is not None:
        variables["SIMPLEXITY_SUBMISSION"] = submission
    if starts_now:
        variables["SIMPLEXITY_JOB_START"] = str(time.time())
    before = _of_thread.set(variables)
    try:
        yield
    finally:
        _of_thread.reset(before)


def this_job(environment: Mapping[str, str] | None = None) -> Job | None:
    """The job in the environment (by default this thread's); None where no batch script or sweep started it.

    A process with a job is started again when it ends with exit code 85.
    """
    if environment is None:
        environment = _of_thread.get()
    values = os.environ if environment is None else environment
    if not (submission := values.get("SIMPLEXITY_SUBMISSION")):
        return None
    limit = values.get("SIMPLEXITY_TIME_LIMIT_S")
    return Job(
        submission=submission,
        start=float(values.get("SIMPLEXITY_JOB_START") or time.time()),
        time_limit_s=int(limit) if limit else None,
        signal_lead_s=int(values.get("SIMPLEXITY_SIGNAL_LEAD_S") or 0),
    )
