"""The record of who was asked to execute which runs: one line per array job, or per process that drives runs here."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from simplexity.runs import append_json_line, read_json_lines

from ._directory import SweepDirectory


class Submission(NamedTuple):
    """One array job, or one process that executes runs on its own machine.

    Attributes:
        time: Unix time.
        indices: The runs.
        job_id: The array job's id; None without SLURM.
        first_index: Index of the run that is array task 0; None for a job that is no array.
    """

    time: float
    indices: tuple[int, ...]
    job_id: str | None = None
    first_index: int | None = 0

    def task(self, index: int) -> str | None:
        """SLURM's name of a run's array task, "JOB_TASK", or of its job."""
        if self.job_id is None or self.first_index is None:
            return self.job_id
        return f"{self.job_id}_{index - self.first_index}"


def record_submission(
    sweep: SweepDirectory, indices: Sequence[int], job_id: str | None = None, first_index: int | None = 0
) -> None:
    """Adds a line. Only the holder of the sweep's lock may."""
    submission = Submission(round(time.time(), 3), tuple(indices), job_id, first_index)
    append_json_line(sweep.submissions_path, submission._asdict())


def read_submissions(sweep: SweepDirectory) -> list[Submission]:
    """All so far, oldest first."""
    records = read_json_lines(sweep.submissions_path)
    return [Submission(**{**record, "indices": tuple(record["indices"])}) for record in records]


def submission_names(submissions: Sequence[Submission]) -> dict[int, str]:
    """The name of each submitted run's last submission, as its ledger has it: `array_N` is that of `array_N.sh`."""
    return {
        index: f"{'local' if submission.job_id is None else 'array'}_{number}"
        for number, submission in enumerate(submissions)
        for index in submission.indices
    }
