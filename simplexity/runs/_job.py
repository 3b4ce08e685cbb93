"""What a batch script tells the run that it starts: which submission this is, and when the time limit is due."""

import os
import time
from collections.abc import Mapping
from typing import NamedTuple

# SLURM may send the signal that announces the time limit so much too early.
_EARLY_S = 60.0


class Job(NamedTuple):
    """The job of a process, as the script that started it has put it into the environment.

    Attributes:
        submission: Names the submission: the same for every restart of the job, and another after a retry by hand.
        start: Unix time of the job's start, by the clock of its first node.
        time_limit_s: Its time limit; None if it is not known.
        signal_lead_s: How long before the time limit it is told to stop.
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


def this_job(environment: Mapping[str, str] | None = None) -> Job | None:
    """The job in the environment (by default this process's); None where no batch script or sweep started it.

    A process with a job is started again when it ends with exit code 85.
    """
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
