"""Executing a sweep's runs by workers on this machine: the loop that starts, watches and stops them."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from simplexity.host import PreemptionGuard
from simplexity.runs import ExitCode, RetryBudget, is_alive

from ._directory import SweepDirectory
from ._local_worker import LocalWorker
from ._manifest import SweepRun, submission_name
from ._outcome import Outcome, outcome_of
from ._run_files import last_printed
from ._run_status import RunState
from ._slots import Slot
from ._stop_requests import StopRequests
from ._worker_place import WorkerPlace

_POLL_S, _OTHERS_POLL_S = 0.1, 1.0
_SIMPLEXITY = (sys.executable, "-P", "-m", "simplexity.cli")
RESUME = (*_SIMPLEXITY, "resume")
"""What executes a run, given `--sweep DIR --index N`. -P: a file of the current folder must not hide a module."""
WORK = (*_SIMPLEXITY, "work")
"""What executes the runs of a submission, given `--place PLACE DIR`."""
# A worker that dies so often without having begun a run is not started again.
_MOST_EARLY_DEATHS = 3


@runtime_checkable
class Progress(Protocol):
    """Shows what happens to the runs of a sweep."""

    def started(self, run: SweepRun) -> None:
        """A worker has begun the run, for the first time or again."""

    def ended(self, outcome: Outcome) -> None:
        """Nothing more will happen to the run."""

    def stopping(self) -> None:
        """A stop was requested: the running ones save and exit, and no others start."""

    def tick(self) -> None:
        """Called about ten times a second."""


class LocalExecution:
    """Executes the runs of the sweep's last submission, by a worker per slot, until all end or a stop is requested.

    A worker executes one run after the other in one process. If that dies, it is started again and begins with the run
    that it had: the run itself counts starts that make no progress, and fails after too many. When a stop is requested,
    or this process fails, every worker gets SIGTERM, saves and exits.

    Args:
        sweep: The sweep, locked by this process.
        runs: Those of its last submission.
        slots: Room for one worker each.
        guard: Installed; says whether a stop was requested.
        progress: Shows what happens.
        working_folder: Folder in which the workers run.
        worker: Command to which `--place PLACE DIR` is added.
        stop_on_failure: Whether the first run that fails stops the others, which save.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        runs: Sequence[SweepRun],
        slots: Sequence[Slot],
        guard: PreemptionGuard,
        progress: Progress,
        *,
        working_folder: Path,
        worker: Sequence[str] = WORK,
        stop_on_failure: bool = False,
    ):
        self._sweep = sweep
        self._guard = guard
        self._progress = progress
        self._unfinished = {run.index: run for run in runs}
        self._outcomes: dict[int, Outcome] = {}
        self._stop_on_failure = stop_on_failure
        self._has_failed = self._is_stopping = False
        self._stop_requests = StopRequests(sweep)
        submissions = sweep.read_submissions()
        self._submission = name = submission_name(len(submissions) - 1, submissions[-1])
        self._workers = [
            LocalWorker(sweep, WorkerPlace(name, number, len(slots)), slot, worker, working_folder)
            for number, slot in enumerate(slots)
        ]

    def run(self) -> list[Outcome]:
        """Executes them; returns how each run ended, in their order."""
        self._end_what_is_over(None)
        try:
            if not self._is_to_stop():
                for one in self._workers[: len(self._unfinished)]:
                    one.start()
            self._watch()
            left = -1
            # What other processes had is theirs to end; what they leave unfinished is executed here. A run that cannot
            # be executed stays, which ends it.
            while (unfinished := self._wait_for_others()) not in (0, left):
                left = unfinished
                self._workers[0].start()
                self._watch()
        finally:
            # Nothing runs, unless this process fails: nothing would then watch the workers.
            self._request_stop()
            for one in self._workers:
                if one.process is not None:
                    one.process.wait()
        budget = self._new_budget()
        for run in list(self._unfinished.values()):
            self._end(self._leftover(run, budget))
        return [self._outcomes[index] for index in sorted(self._outcomes)]

    def _watch(self) -> None:
        """Returns when no worker is running any more."""
        while processes := [one for one in self._workers if one.process is not None]:
            self._hear_requests()
            if self._is_to_stop() and not self._is_stopping:
                self._is_stopping = True
                self._request_stop()
                self._progress.stopping()
            for one in processes:
                self._look_at(one)
            self._progress.tick()
            # Not `guard.wait`, which returns at once while the others save.
            if (process := processes[0].process) is not None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_S)

    def _wait_for_others(self) -> int:
        """Waits for runs that other processes have; returns how many are unfinished then; 0 if a stop was requested."""
        while not self._is_to_stop() and any(map(self._has_holder, self._unfinished.values())):
            self._guard.wait(_OTHERS_POLL_S)
            self._hear_requests()
            self._progress.tick()
        self._end_what_is_over(self._submission)
        return 0 if self._is_to_stop() else len(self._unfinished)

    def _hear_requests(self) -> None:
        """Stops at `simplexity cancel` on another machine, and where a run has failed that another worker executed."""
        if reason := self._stop_requests.new_reason():
            self._end_what_is_over(self._submission)
            if not self._has_failed:
                self._guard.request(reason)

    def _is_to_stop(self) -> bool:
        """Whether nothing more is to begin: a stop was requested, or a run has failed that is to stop the others."""
        return self._has_failed or self._guard.requested()

    def _has_holder(self, run: SweepRun) -> bool:
        return is_alive(self._sweep.run_directory(run).lock_path)

    def _look_at(self, one: LocalWorker) -> None:
        """Reports which runs the worker has begun and ended; starts it again if it has died."""
        assert one.process is not None
        # Before its record is read: what it writes last is then seen.
        code = one.process.poll()
        for index, exit_code in one.record.read_new():
            one.early_deaths = 0
            run = self._unfinished.get(index)
            if run is None:
                continue
            if exit_code is None:
                self._progress.started(run)
            elif exit_code != ExitCode.REQUEUE and (outcome := self._outcome(run)) is not None:
                self._end(outcome)
        if code is None:
            return
        one.process = None
        is_over = not one.record.running and code in (ExitCode.COMPLETE, ExitCode.FAILED)
        if is_over or self._is_to_stop():
            return
        one.record_death(code)
        one.early_deaths += 1
        if one.early_deaths <= _MOST_EARLY_DEATHS:
            one.start()

    def _request_stop(self) -> None:
        for one in self._workers:
            one.request_stop()

    def _end(self, outcome: Outcome) -> None:
        """The one place where the end of a run is looked at, when it becomes known."""
        del self._unfinished[outcome.run.index]
        self._outcomes[outcome.run.index] = outcome
        self._has_failed |= self._stop_on_failure and outcome.state == RunState.FAILED
        self._progress.ended(outcome)

    def _outcome(self, run: SweepRun) -> Outcome | None:
        return outcome_of(self._sweep, run, self._new_budget(), self._submission)

    def _end_what_is_over(self, submission: str | None) -> None:
        """Ends the runs that are over, failed ones if that was in this submission."""
        budget = self._new_budget()
        for run in list(self._unfinished.values()):
            if (outcome := outcome_of(self._sweep, run, budget, submission)) is not None:
                self._end(outcome)

    def _new_budget(self) -> RetryBudget:
        """Of one look at the runs, however many of them cannot be read."""
        return RetryBudget(self._guard.wait)

    def _leftover(self, run: SweepRun, budget: RetryBudget) -> Outcome:
        """How a run stands that no worker has brought to its end."""
        if (outcome := outcome_of(self._sweep, run, budget, self._submission)) is not None:
            return outcome
        if self._is_to_stop():
            return Outcome(run, RunState.STOPPED)
        words = [last_printed(one.log_path) for one in self._workers]
        return Outcome(run, RunState.FAILED, reason=next(filter(None, words), "no worker could execute it"))
