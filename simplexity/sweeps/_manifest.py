"""What a sweep consists of: its runs, how they were launched, and which process or array job was to execute them."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ._launch_settings import Launch


class SweepRun(NamedTuple):
    """One run of a sweep.

    Attributes:
        index: 0, 1, 2...
        overrides: What sets it apart, as typed: "training.batch_size=32".
        config_hash: Hash of its frozen config.
        directory: Its run directory, relative to the sweep's.
        num_train_steps: The step at which it is complete.
    """

    index: int
    overrides: tuple[str, ...]
    config_hash: str
    directory: str
    num_train_steps: int


def common_overrides(runs: Sequence[SweepRun]) -> frozenset[str]:
    """The overrides that all of several runs have, and that tell none of them apart."""
    if len(runs) < 2:
        return frozenset()
    return frozenset.intersection(*(frozenset(run.overrides) for run in runs))


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A sweep's runs, and how they were launched.

    Attributes:
        program: Name of the program, which is also that of a run's log.
        config_name: The primary config.
        created: Unix time.
        version: simplexity's version.
        working_folder: Absolute path of the folder that relative paths in the configs start from.
        launch: How to start its runs again.
        runs: In the order of their indices, which later batches of a search continue.
    """

    program: str
    config_name: str
    created: float
    version: str
    working_folder: str
    launch: Launch
    runs: tuple[SweepRun, ...]

    def run(self, index: int) -> SweepRun:
        """The run of an index.

        Raises:
            ValueError: If there is none.
        """
        # They are in order, and only a search that was killed leaves gaps.
        place = bisect_left(self.runs, index, key=lambda run: run.index)
        if place < len(self.runs) and self.runs[place].index == index:
            return self.runs[place]
        raise ValueError(f"there is no run {index}; the sweep has {len(self.runs)}: {_span(self.runs)}")

    def extended(self, runs: Iterable[SweepRun]) -> "Manifest":
        """With these runs too; those that are there already, just so, stay once, and one with more steps replaces it.

        Raises:
            ValueError: If a run that is there has another config, or the directory of another.
        """
        merged = {run.index: run for run in self.runs}
        for run in runs:
            there = merged.setdefault(run.index, run)
            if there.directory == run.directory and there.num_train_steps < run.num_train_steps:
                # The launcher has seen to it that nothing else differs.
                there = merged[run.index] = run
            if (there.config_hash, there.directory) != (run.config_hash, run.directory):
                raise ValueError(
                    f"it has a run {run.index} with another config ({' '.join(there.overrides) or 'none'})"
                )
        folders = {run.directory for run in merged.values()}
        if len(folders) < len(merged):
            raise ValueError("two of its runs would share a run directory; `hydra.sweep.subdir` must tell them apart")
        return replace(self, runs=tuple(sorted(merged.values())))


class Submission(NamedTuple):
    """One array job, or one process that executes runs on its own machine.

    Attributes:
        time: Unix time.
        indices: Indices of the runs.
        job_id: The array job's id; None without SLURM.
        first_index: Index of the run that is array task 0; None for a job that is no array.
        num_workers: Array tasks that have workers, from 0, for any of the runs; None if each run has its own task.
    """

    time: float
    indices: tuple[int, ...]
    job_id: str | None = None
    first_index: int | None = 0
    num_workers: int | None = None

    def tasks(self, index: int) -> list[str]:
        """SLURM's names of the array tasks that may execute a run, "JOB_TASK", or of its job; none without SLURM."""
        if self.job_id is None:
            return []
        if self.num_workers is not None:
            return [f"{self.job_id}_{number}" for number in range(self.num_workers)]
        return [self.job_id if self.first_index is None else f"{self.job_id}_{index - self.first_index}"]


def submission_names(submissions: Sequence[Submission]) -> dict[int, str]:
    """The name of each submitted run's last submission, as its ledger has it: `array_N` is that of `array_N.sh`."""
    return {
        index: submission_name(number, submission)
        for number, submission in enumerate(submissions)
        for index in submission.indices
    }


def submission_name(number: int, submission: Submission) -> str:
    """The name of one submission."""
    return f"{'local' if submission.job_id is None else 'array'}_{number}"


def _span(runs: tuple[SweepRun, ...]) -> str:
    return f"{runs[0].index} to {runs[-1].index}" if runs else "none"
