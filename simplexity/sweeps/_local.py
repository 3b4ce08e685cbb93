"""Executing a sweep's runs as processes of this machine: the loop that starts, watches and stops them."""

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from simplexity.host import PreemptionGuard
from simplexity.runs import EventKind, ExitCode, Ledger, RunDirectory, RunLock, read_ledger

from ._directory import SweepDirectory
from ._manifest import SweepRun, submission_names
from ._run_files import last_printed, read_run
from ._run_status import RunState
from ._slots import Slot

_POLL_S = 0.1
WORKER = (sys.executable, "-P", "-m", "simplexity.cli", "resume")
"""What executes a run, given `--sweep DIR --index N`. -P: a file of the current folder must not hide a module."""


class Outcome(NamedTuple):
    """How a run ended: complete, failed, unreadable, or stopped because a stop of the sweep was requested.

    Attributes:
        run: The manifest's entry.
        state: COMPLETE, FAILED, UNREADABLE or STOPPED.
        loss_nats: Final loss of a complete run.
        excess_nats: Final loss minus the optimum, of a complete run whose optimum is known.
        reason: One line on why it failed or cannot be read; empty otherwise.
    """

    run: SweepRun
    state: RunState
    loss_nats: float | None = None
    excess_nats: float | None = None
    reason: str = ""


@runtime_checkable
class Progress(Protocol):
    """Shows what happens to the runs of a sweep."""

    def started(self, run: SweepRun) -> None:
        """A process for the run was started, for the first time or again."""

    def ended(self, outcome: Outcome) -> None:
        """Nothing more will happen to the run."""

    def stopping(self) -> None:
        """A stop was requested: the running ones save and exit, and no others start."""

    def tick(self) -> None:
        """Called about ten times a second."""


class _Worker(NamedTuple):
    """A running process. Events of its run's ledger before `events_before` are of earlier attempts."""

    run: SweepRun
    slot: Slot
    process: subprocess.Popen
    events_before: int


def execute_locally(
    sweep: SweepDirectory,
    runs: Sequence[SweepRun],
    slots: Sequence[Slot],
    guard: PreemptionGuard,
    progress: Progress,
    *,
    working_folder: Path,
    worker: Sequence[str] = WORKER,
) -> list[Outcome]:
    """Executes the runs, as many at a time as there are slots, until all have ended or a stop is requested.

    A run that exits with 85 is started again, after the others had their turn: the run itself counts starts that make
    no progress, and fails after too many. When a stop is requested, or this process fails, every running one gets
    SIGTERM, saves and exits.

    Args:
        sweep: The sweep, locked by this process.
        runs: What to execute, in this order.
        slots: Room for one run each.
        guard: Installed; says whether a stop was requested.
        progress: Shows what happens.
        working_folder: Folder in which the processes run.
        worker: Command to which `--sweep DIR --index N` is added.

    Returns:
        How each run ended, in their order.
    """
    queue, free = deque(runs), deque(slots)
    workers: list[_Worker] = []
    outcomes: dict[int, Outcome] = {}
    stopping = False
    try:
        while workers or (queue and not guard.requested()):
            while queue and free and not guard.requested():
                run = queue.popleft()
                outcome = _ended_before(sweep, run)
                if outcome is None:
                    workers.append(_start(sweep, run, free.popleft(), worker, working_folder))
                    progress.started(run)
                else:
                    outcomes[run.index] = outcome
                    progress.ended(outcome)
            if guard.requested() and not stopping:
                stopping = True
                _request_stop(workers)
                progress.stopping()
            for one in [one for one in workers if one.process.poll() is not None]:
                workers.remove(one)
                free.append(one.slot)
                outcome = _outcome(sweep, one, stopping=guard.requested())
                if outcome is None:
                    queue.append(one.run)
                else:
                    outcomes[one.run.index] = outcome
                    progress.ended(outcome)
            progress.tick()
            # Not `guard.wait`, which returns at once while the others save.
            if workers:
                _wait_for_any(workers)
    finally:
        # Empty, unless this process fails: nothing would then watch those that run.
        _request_stop(workers)
        for one in workers:
            one.process.wait()
    stopped = [Outcome(run, RunState.STOPPED) for run in queue]
    return sorted([*outcomes.values(), *stopped], key=lambda outcome: outcome.run.index)


def _start(sweep: SweepDirectory, run: SweepRun, slot: Slot, worker: Sequence[str], folder: Path) -> _Worker:
    log_path = sweep.log_path(run.index)
    log_path.parent.mkdir(exist_ok=True)
    events_before = len(read_ledger(sweep.run_directory(run).ledger_path))
    with open(log_path, "ab") as log:
        process = subprocess.Popen(
            [*worker, "--sweep", str(sweep.path), "--index", str(run.index)],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                "SIMPLEXITY_SUBMISSION": submission_names(sweep.read_submissions()).get(run.index, "local"),
                **slot.environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal is for this process, which passes it on once.
            start_new_session=True,
        )
    if slot.cores:
        # From here, because code between fork and exec is unsafe beside threads; Python is still starting there. A
        # process that is gone already has an exit code that says why.
        with suppress(ProcessLookupError):
            os.sched_setaffinity(process.pid, slot.cores)
    return _Worker(run, slot, process, events_before)


def _request_stop(workers: Sequence[_Worker]) -> None:
    for one in workers:
        one.process.send_signal(signal.SIGTERM)


def _wait_for_any(workers: Sequence[_Worker]) -> None:
    try:
        workers[0].process.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return


def _ended_before(sweep: SweepDirectory, run: SweepRun) -> Outcome | None:
    """How a run ended that needs no process; None if it needs one."""
    unreadable = read_run(sweep, run).unreadable
    return Outcome(run, RunState.UNREADABLE, reason=unreadable) if unreadable else _complete(sweep, run)


def _complete(sweep: SweepDirectory, run: SweepRun) -> Outcome | None:
    completion = sweep.run_directory(run).read_completion()
    if completion is None or completion.step < run.num_train_steps:
        return None
    return Outcome(run, RunState.COMPLETE, completion.loss_nats, completion.excess_nats)


def _outcome(sweep: SweepDirectory, worker: _Worker, *, stopping: bool) -> Outcome | None:
    """How the run ended, or None if it is to be started again."""
    code = worker.process.returncode
    if stopping and code in (ExitCode.REQUEUE, -signal.SIGTERM):  # the latter before it could handle signals
        return Outcome(worker.run, RunState.STOPPED)
    if code == ExitCode.REQUEUE:
        return None
    if unreadable := read_run(sweep, worker.run).unreadable:
        return Outcome(worker.run, RunState.UNREADABLE, reason=unreadable)
    outcome = _complete(sweep, worker.run)
    if code == ExitCode.COMPLETE and outcome is not None:
        return outcome
    directory = sweep.run_directory(worker.run)
    for event in read_ledger(directory.ledger_path)[worker.events_before :]:
        if event.kind == EventKind.FAILED:
            return Outcome(worker.run, RunState.FAILED, reason=event.reason or "")
    reason = _describe(code)
    if words := last_printed(sweep.log_path(worker.run.index)):
        reason = f"{reason}: {words}"
    _record_failure(directory, reason)
    return Outcome(worker.run, RunState.FAILED, reason=reason)


def _describe(code: int) -> str:
    if code >= 0:
        return f"its process exited with code {code}"
    name = signal.Signals(-code).name
    return f"its process was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _record_failure(directory: RunDirectory, reason: str) -> None:
    """Records in the ledger that the run's process died, which it could not do itself."""
    try:
        with RunLock(directory.lock_path) as lock:
            ledger = Ledger(directory.ledger_path, lock.require_held)
            saved = max((event.step for event in ledger.events if event.kind == EventKind.CHECKPOINT), default=0)
            ledger.append(EventKind.FAILED, saved, reason=reason)
    except (RuntimeError, OSError):
        return  # another process has the run, and writes its ledger; or the disk is what failed
