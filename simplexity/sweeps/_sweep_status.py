"""The status of a whole sweep at one moment, and the runs that a retry starts again."""

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from typing import NamedTuple

from simplexity.runs import EventKind, Goodput

from ._directory import SweepDirectory
from ._in_threads import in_threads
from ._kept_answers import COMPLETE_NAME, KeptAnswers, answer_of, marks, read_answer
from ._live_workers import BY_HAND, live_submissions
from ._manifest import Manifest, Submission, SweepRun, submission_names
from ._run_files import RunFiles, read_run
from ._run_status import ACTIVE_STATES, UNFINISHED_STATES, RunState, RunStatus, run_status
from ._scheduler_state import SchedulerState, slurm_states

_state, _goodput = attrgetter("state"), attrgetter("goodput")
_IDLE = SchedulerState(False)
_MAY_HAVE_ENDED_SINCE = UNFINISHED_STATES | {RunState.FAILED}


class SweepStatus(NamedTuple):
    """A sweep's runs in the order of their indices.

    Attributes:
        runs: How each stands.
        remark: One line on what SLURM did not answer; empty if nothing.
        on_slurm: Whether its runs are jobs of SLURM.
    """

    runs: list[RunStatus]
    remark: str
    on_slurm: bool

    @property
    def counts(self) -> Counter[RunState]:
        """Runs in each state."""
        return Counter(map(_state, self.runs))

    @property
    def has_ended(self) -> bool:
        """Whether nothing will change by itself."""
        return not any(status.state in ACTIVE_STATES for status in self.runs)

    @property
    def goodput(self) -> Goodput:
        """Where the time of all runs went."""
        return add_goodputs(map(_goodput, self.runs))


@contextmanager
def paused_collector() -> Iterator[None]:
    """Keeps Python's garbage collector from searching for cycles within the `with` block, or the decorated function.

    Rows of a hundred thousand runs have none, and to look through them again and again takes half of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@paused_collector()
def read_status(sweep: SweepDirectory, *, locked: bool = False) -> SweepStatus:
    """Reads every run's files, and asks SLURM about the runs that are not complete.

    Args:
        sweep: The sweep.
        locked: Whether this process has locked it, and executes none of its runs yet.

    Raises:
        RuntimeError: If the manifest is corrupt, or of another version.
    """
    manifest = sweep.read_manifest()
    return _with_scheduler(sweep, manifest, _read_all(sweep, manifest.runs), locked=locked)


def read_status_of(sweep: SweepDirectory, index: int) -> SweepStatus:
    """The status of one run, without the files of the others being read; SLURM is asked about this run alone.

    Args:
        sweep: The sweep.
        index: The run's.

    Raises:
        ValueError: If there is no such run.
        RuntimeError: As `read_status`.
    """
    run = sweep.read_run(index)
    files = read_run(sweep, run)
    found = files if files.completion is None else run_status(sweep, run, files, _IDLE)
    manifest = replace(sweep.read_manifest(with_runs=False), runs=(run,))
    return _with_scheduler(sweep, manifest, [found], locked=False)


@paused_collector()
def read_unfinished(sweep: SweepDirectory, runs: Sequence[SweepRun]) -> dict[int, RunFiles]:
    """What the files of those runs say that are not complete, by index."""
    return _unfinished(runs, _read_all(sweep, runs))


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
    return Goodput._make(map(sum, zip(Goodput(), *goodputs, strict=True)))


def _read_all(sweep: SweepDirectory, runs: Sequence[SweepRun]) -> list[RunStatus | RunFiles]:
    """Of each run that is complete its status, and of the others what their files say."""

    def read(run: SweepRun) -> RunStatus | RunFiles:
        seen = marks(run.config_hash, f"{sweep.path}/{run.directory}/{COMPLETE_NAME}")
        known = None if seen is None else read_answer(run, kept.take(run.index, seen))
        if known is not None:
            return known
        files = read_run(sweep, run)
        if files.completion is None:
            return files
        status = run_status(sweep, run, files, _IDLE)
        # The ledger, which may have a remark, has this event a moment after the file COMPLETE is there.
        event = files.summary.last_event
        if seen is not None and event is not None and event.kind == EventKind.COMPLETE:
            kept.add(run.index, seen, answer_of(files.completion, status))
        return status

    kept = KeptAnswers(sweep.complete_runs_path)
    found = list(in_threads(read, runs))
    kept.save()
    return found


def _with_scheduler(
    sweep: SweepDirectory, manifest: Manifest, found: Sequence[RunStatus | RunFiles], *, locked: bool
) -> SweepStatus:
    """The status of the manifest's runs, of which `found` has what their files say."""
    unfinished = _unfinished(manifest.runs, found)
    submissions = sweep.read_submissions()
    # One process at a time executes runs on its machine: the one of the last line, if it still has the lock.
    executing = submissions[-1] if submissions and not locked and sweep.lock_owner() is not None else None
    states, remark = _scheduler_states(sweep, manifest, submissions, executing, unfinished)
    runs = [
        one if isinstance(one, RunStatus) else run_status(sweep, run, one, states.get(run.index, _IDLE))
        for run, one in zip(manifest.runs, found, strict=True)
    ]
    if manifest.launch.on_slurm:
        _read_ended_again(sweep, runs, states)
    return SweepStatus(runs, remark, manifest.launch.on_slurm)


def _read_ended_again(sweep: SweepDirectory, runs: list[RunStatus], states: dict[int, SchedulerState]) -> None:
    """Replaces the status of each run that seems to have ended unfinished by what its files say now.

    They were read before SLURM was asked, which takes long. A run that was completed, or has saved, between the two
    would be shown as lost. One that SLURM does not know and that had not begun has not ended meanwhile.
    """

    def read(place: int) -> RunStatus:
        run = runs[place].run
        return run_status(sweep, run, read_run(sweep, run), states.get(run.index, _IDLE))

    ended = [
        place
        for place, one in enumerate(runs)
        if one.state in _MAY_HAVE_ENDED_SINCE and (one.last_event is not None or states.get(one.run.index, _IDLE).end)
    ]
    for place, status in zip(ended, in_threads(read, ended), strict=True):
        runs[place] = status


def _unfinished(runs: Sequence[SweepRun], found: Sequence[RunStatus | RunFiles]) -> dict[int, RunFiles]:
    return {run.index: files for run, files in zip(runs, found, strict=True) if isinstance(files, RunFiles)}


def _scheduler_states(
    sweep: SweepDirectory,
    manifest: Manifest,
    submissions: Sequence[Submission],
    executing: Submission | None,
    unfinished: dict[int, RunFiles],
) -> tuple[dict[int, SchedulerState], str]:
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
        if (BY_HAND in live or last.get(index) in live) and not states.get(index, _IDLE).coming:
            states[index] = SchedulerState(True, submission=last.get(index))
    return states, remark
