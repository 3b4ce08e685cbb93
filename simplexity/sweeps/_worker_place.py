"""Which worker of a submission a process is, and which runs it may execute."""

from typing import NamedTuple

from simplexity.host import PreemptionGuard

from ._directory import SweepDirectory
from ._manifest import Manifest, SweepRun, submission_name, submission_names

_RECORDED_WAIT_S = 60.0


class WorkerPlace(NamedTuple):
    """Which of a submission's workers a process is.

    Attributes:
        submission: Name of the submission whose runs it executes, such as "array_0".
        number: Its number, from 0.
        num_workers: How many the submission has.
    """

    submission: str
    number: int
    num_workers: int

    @property
    def name(self) -> str:
        """Names its record and its log."""
        return f"{self.submission}_{self.number}"

    def __str__(self) -> str:
        return f"{self.submission}/{self.number}/{self.num_workers}"

    @classmethod
    def parse(cls, text: str) -> "WorkerPlace":
        """The place that `str` wrote.

        Raises:
            ValueError: If it is none.
        """
        submission, _, numbers = text.partition("/")
        number, _, num_workers = numbers.partition("/")
        if not (submission and number.isdecimal() and num_workers.isdecimal() and int(num_workers) > 0):
            raise ValueError(f"`--place` must be as in array_0/3/12, got {text!r}")
        return cls(submission, int(number), int(num_workers))


def runs_of_worker(
    sweep: SweepDirectory, manifest: Manifest, place: WorkerPlace | None, guard: PreemptionGuard
) -> tuple[dict[int, str], list[SweepRun]]:
    """The name of each run's last submission, and the runs that the worker may execute.

    Raises:
        ValueError: If there is no such submission.
    """
    if place is None:
        return submission_names(sweep.read_submissions()), list(manifest.runs)
    waited_s = 0.0
    while True:
        submissions = sweep.read_submissions()
        if any(submission_name(*numbered) == place.submission for numbered in enumerate(submissions)):
            break
        # A job may begin before the process that has submitted it has written that down.
        if waited_s >= _RECORDED_WAIT_S or guard.wait(0.5):
            raise ValueError(f"the sweep {sweep.path} has no submission {place.submission}")
        waited_s += 0.5
    names = submission_names(submissions)
    return names, [run for run in manifest.runs if names.get(run.index) == place.submission]
