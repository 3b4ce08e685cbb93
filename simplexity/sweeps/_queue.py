"""Which run of a sweep a worker executes next: one that is unfinished, and that no other process has."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from simplexity.runs import (
    Event,
    EventKind,
    InUseError,
    Ledger,
    Liveness,
    RetryBudget,
    RunDirectory,
    RunLock,
    liveness,
    next_start,
    read_holder,
    read_ledger,
    summarize,
)

from ._directory import SweepDirectory
from ._kept_answers import COMPLETE_NAME, KeptAnswers, completed_step, marks
from ._manifest import SweepRun
from ._worker_record import known_deaths

_log = logging.getLogger("simplexity")
# A run that ends its worker so often without getting on is given up, so that the others are executed.
_MOST_DEATHS = 3


class Claim(NamedTuple):
    """A run that only this process may execute: it holds the run's lock."""

    run: SweepRun
    lock: RunLock


class RunQueue:
    """The unfinished runs of a sweep, in the order in which one worker tries them.

    Every worker walks through the runs once, from a place of its own, so that workers rarely meet and none reads the
    whole sweep before it begins. A run that has a holder is passed over and looked at once more at the end: its holder
    may have ended without releasing it. A run that ended because a stop was requested is put back by its worker.

    Args:
        sweep: The sweep.
        runs: Those that the worker may execute, in the order in which it tries them.
        submissions: The name of each run's last submission. A run that has failed in it is not executed again.
        make_lock: Makes the lock of a run's folder.
        wait: Sleeps between tries at reading a run's files; see `RetryBudget`.
        interrupted: The runs that earlier processes of this worker have begun and not ended: they come first. With how
            many of these processes have died in each.

    Attributes:
        has_passed_over: Whether there was a run whose files are corrupt, or could not be read.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        runs: Sequence[SweepRun],
        submissions: Mapping[int, str],
        make_lock: Callable[[RunDirectory], RunLock],
        wait: Callable[[float], bool],
        interrupted: Mapping[int, int] = MappingProxyType({}),
    ):
        self._sweep = sweep
        self._kept = KeptAnswers(sweep.complete_runs_path)
        self._waiting = deque(sorted(runs, key=lambda run: run.index not in interrupted))
        self._held: deque[SweepRun] = deque()
        self._submissions = submissions
        self._make_lock = make_lock
        self._interrupted = interrupted
        self._budget = RetryBudget(wait)
        self._given_up: list[SweepRun] = []
        self._suspects: set[int] = set()
        self.has_passed_over = False

    def take_given_up(self) -> list[SweepRun]:
        """The runs that have failed since the last call because they have ended their worker too often."""
        given_up, self._given_up = self._given_up, []
        return given_up

    def is_suspect(self, run: SweepRun) -> bool:
        """Whether a run that was claimed may be what ends its worker: one more such start, and it is given up."""
        return run.index in self._suspects

    def put_back(self, run: SweepRun) -> None:
        """The run is to be tried once more, after the others."""
        self._waiting.append(run)

    def claims(self) -> Iterator[Claim]:
        """Claims one run after the other; whoever iterates releases each lock before the next."""
        while self._waiting or self._held:
            is_free = bool(self._waiting)
            run = self._waiting.popleft() if is_free else self._held.popleft()
            if self._is_known_complete(run):
                continue
            try:
                claim = self._claim(run, is_free)
            except (RuntimeError, OSError) as error:
                # One run whose files are corrupt, or cannot be read, does not keep the worker from the others.
                _log.warning("#%d is passed over: %s", run.index, error)
                self.has_passed_over = True
            else:
                if claim is not None:
                    yield claim

    def _claim(self, run: SweepRun, is_free: bool) -> Claim | None:
        """Claims the run; None if there is nothing to do, or another process has it, which is then asked once more."""
        # Only reading is tried again: what could not be written may have been, but for its last byte on the disk.
        is_over, is_held = self._budget.read(lambda: self._look_at(run))
        if is_over:
            return None
        if is_free and is_held:
            self._held.append(run)
            return None
        lock = self._lock(run)
        return None if lock is None else Claim(run, lock)

    def _is_known_complete(self, run: SweepRun) -> bool:
        """Whether `status` has seen that the run is complete, which takes one look at one file.

        So the last runs of a hundred thousand are reached in a second.
        """
        seen = marks(run.config_hash, f"{self._sweep.path}/{run.directory}/{COMPLETE_NAME}")
        step = None if seen is None else completed_step(self._kept.take(run.index, seen))
        return step is not None and step >= run.num_train_steps

    def _lock(self, run: SweepRun) -> RunLock | None:
        """The lock of a run that this process is to execute; None if there is nothing to do, or another has it."""
        try:
            lock = self._make_lock(self._sweep.run_directory(run)).acquire()
        except InUseError:
            return None
        try:
            # Between the look at the run and the lock, another worker may have executed it.
            if self._budget.read(lambda: self._is_over(run)) or self._is_given_up(run, lock):
                lock.release()
                return None
        except BaseException:
            lock.release()
            raise
        return lock

    def _look_at(self, run: SweepRun) -> tuple[bool, bool]:
        """Whether the run is over, and whether another process seems to have it."""
        if self._is_over(run):
            return True, False
        if run.index in self._interrupted:
            return False, False
        holder = read_holder(self._sweep.run_directory(run).lock_path)
        is_dead = holder is None or (holder.owner is not None and liveness(holder.owner) == Liveness.DEAD)
        return False, not is_dead

    def _is_over(self, run: SweepRun) -> bool:
        """Whether the run is complete, or has failed since it was last submitted."""
        directory = self._sweep.run_directory(run)
        completion = directory.read_completion()
        if completion is not None:
            return completion.step >= run.num_train_steps
        return has_failed_in(read_ledger(directory.ledger_path), self._submissions.get(run.index))

    def _is_given_up(self, run: SweepRun, lock: RunLock) -> bool:
        """Records that the run has failed, if it has ended its worker too often."""
        directory, submission = self._sweep.run_directory(run), self._submissions.get(run.index)
        events = self._budget.read(lambda: read_ledger(directory.ledger_path))
        decision = next_start(events, submission, _MOST_DEATHS - 1)
        # Of a process that died before the run could record its start, in what the config names, the worker's record
        # alone knows.
        num_starts = sum(event.kind == EventKind.START and event.submission == submission for event in events)
        unrecorded = self._interrupted.get(run.index, 0) - num_starts
        deaths = max(decision.starts_without_progress, unrecorded)
        if deaths >= _MOST_DEATHS - 1:
            self._suspects.add(run.index)
        if decision.allowed and unrecorded < _MOST_DEATHS:
            return False
        reason = decision.reason or f"it has ended its worker {deaths} times before it could begin"
        # Also of the other workers that had it before.
        known = known_deaths(self._sweep.workers_path, submission, run.index) if submission else []
        if len(known) >= deaths:
            reason = f"it has ended its worker {deaths} times"
        if known:
            reason = f"{reason}; in one of its starts, {known[-1]}"
        # It has failed even if that cannot be recorded.
        self._given_up.append(run)
        record_failure(directory, lock, submission, reason)
        return True


def record_failure(directory: RunDirectory, lock: RunLock, submission: str | None, reason: str) -> None:
    """Records in a run's ledger what the run could not record itself: its process died, or it could not even begin.

    Args:
        directory: The run's folder.
        lock: Held.
        submission: Name of the run's last submission, which its failure ends.
        reason: One line.
    """
    ledger = Ledger(directory.ledger_path, lock.require_held)
    if not ledger.events or summarize(ledger.events).submission != submission:
        ledger.append(EventKind.START, ledger.saved_step, submission=submission)
    ledger.append(EventKind.FAILED, ledger.saved_step, reason=reason)


def walk_from(runs: Sequence[SweepRun], number: int, num_workers: int) -> list[SweepRun]:
    """The runs in the order in which worker `number` tries them: from its own place on, and then from the beginning.

    Args:
        runs: All that the workers may execute, in the order of their indices.
        number: Which worker, from 0.
        num_workers: How many workers there are.
    """
    place = number % num_workers * len(runs) // num_workers
    return [*runs[place:], *runs[:place]]


def has_failed_in(events: Sequence[Event], submission: str | None) -> bool:
    """Whether a run's last start has failed, and belongs to this submission; a retry would be another submission.

    Args:
        events: The run's ledger.
        submission: Name of the run's last submission; None if it has none.
    """
    if not events or events[-1].kind != EventKind.FAILED or events[-1].comes_back:
        return False
    return summarize(events).submission == submission
