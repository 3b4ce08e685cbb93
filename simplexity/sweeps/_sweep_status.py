"""The status of a whole sweep at one moment, and the runs that a retry starts again."""

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from simplexity.runs import Goodput

from ._directory import SweepDirectory
from ._kept_answers import KeptAnswers, answer_of, marks, read_answer
from ._live_workers import BY_HAND, live_submissions
from ._manifest import Manifest, Submission, SweepRun, submission_names
from ._run_files import RunFiles, read_run
from ._run_status import ACTIVE_STATES, UNFINISHED_STATES, RunState, RunStatus, run_status
from ._scheduler_state import SchedulerState, slurm_states

# Not for the processor: on a network file system every look at a file is a wait.
_READERS = 16
_PIECE = 16
_NOBODY = SchedulerState(False)


class SweepStatus(NamedTuple):
    """A sweep's runs in the order of their indices.

    Attributes:
        runs: How each stands.
        remark: One line on what SLURM did not answer; empty if nothing.
    """

    runs: list[RunStatus]
    remark: str

    @property
    def counts(self) -> Counter[RunState]:
        """Runs in each state."""
        return Counter(status.state for status in self.runs)

    @property
    def has_ended(self) -> bool:
        """Whether nothing will change by itself."""
        return not any(status.state in ACTIVE_STATES for status in self.runs)

    @property
    def goodput(self) -> Goodput:
        """Where the time of all runs went."""
        return add_goodputs(status.summary.goodput for status in self.runs)


def read_status(sweep: SweepDirectory, *, locked: bool = False) -> SweepStatus:
    """Reads every run's files, and asks SLURM about the runs that are not complete.

    Args:
        sweep: The sweep.
        locked: Whether this process has locked it, and executes none of its runs yet.

    Raises:
        RuntimeError: If the manifest is corrupt, or of another version.
    """
    manifest = sweep.read_manifest()
    files = read_all(sweep, manifest.runs)
    submissions = sweep.read_submissions()
    # One process at a time executes runs on its machine: the one of the last line, if it still has the lock.
    executing = submissions[-1] if submissions and not locked and sweep.lock_owner() is not None else None
    states, remark = _scheduler_states(sweep, manifest, submissions, executing, files)
    return SweepStatus(
        [run_status(sweep, run, files[run.index], states.get(run.index, _NOBODY)) for run in manifest.runs], remark
    )


def read_all(sweep: SweepDirectory, runs: Sequence[SweepRun]) -> dict[int, RunFiles]:
    """What the runs' files say, by index."""
    kept = KeptAnswers(sweep.complete_runs_path)

    def read(run: SweepRun) -> RunFiles:
        seen = marks(run.config_hash, sweep.run_directory(run).complete_path)
        answer = None if seen is None else read_answer(kept.get(run.index, seen))
        if answer is not None:
            return RunFiles(*answer)
        files = read_run(sweep, run)
        if seen is not None and files.completion is not None:
            kept.add(run.index, seen, answer_of(files.completion, files.summary))
        return files

    pieces = [runs[start : start + _PIECE] for start in range(0, len(runs), _PIECE)]
    found: dict[int, RunFiles] = {}
    with ThreadPoolExecutor(_READERS) as readers:
        # A task for each of a hundred thousand runs would take longer than what it does.
        for piece, files in zip(pieces, readers.map(lambda piece: list(map(read, piece)), pieces), strict=True):
            found |= zip((run.index for run in piece), files, strict=True)
    kept.save()
    return found


def select_for_retry(status: SweepStatus, *, failed: bool, missing: bool) -> list[SweepRun]:
    """The runs to start again.

    Args:
        status: The sweep, now.
        failed: Whether those that ended with an error.
        missing: Whether those that were stopped, cancelled, lost, or never begun.
    """
    states = (frozenset({RunState.FAILED}) if failed else frozenset()) | (UNFINISHED_STATES if missing else frozenset())
    return [run.run for run in status.runs if run.state in states]


def add_goodputs(goodputs: Iterable[Goodput]) -> Goodput:
    """The sum, field by field."""
    return Goodput(*(sum(column) for column in zip(Goodput(), *goodputs, strict=True)))


def _scheduler_states(
    sweep: SweepDirectory,
    manifest: Manifest,
    submissions: Sequence[Submission],
    executing: Submission | None,
    files: dict[int, RunFiles],
) -> tuple[dict[int, SchedulerState], str]:
    unfinished = {index: read for index, read in files.items() if read.completion is None}
    last = submission_names(submissions)
    states: dict[int, SchedulerState] = {}
    remark = ""
    if unfinished and manifest.launch.on_slurm:
        states, remark = slurm_states(sweep, submissions, unfinished)
    elif executing is not None:
        states = {index: SchedulerState(True, submission=last[index]) for index in executing.indices}
    live = live_submissions(sweep) if unfinished else set()
    for index in unfinished:
        # A worker continues when what has started it is gone, and one that was started by hand takes any run.
        if (BY_HAND in live or last.get(index) in live) and not states.get(index, _NOBODY).coming:
            states[index] = SchedulerState(True, submission=last.get(index))
    return states, remark
