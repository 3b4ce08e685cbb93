"""The state of one run, from its files and from the state of the scheduler that executes it."""

from enum import StrEnum
from typing import NamedTuple

from simplexity.runs import Event, EventKind, Goodput

from ._directory import SweepDirectory
from ._manifest import SweepRun
from ._run_files import RunFiles, has_failed, last_printed
from ._scheduler_state import SchedulerState


class RunState(StrEnum):
    """The state of a run, as commands print it."""

    PENDING = "pending"
    """It has not begun, and will be started."""
    RUNNING = "running"
    WAITING = "waiting"
    """It was stopped, and will be started again automatically."""
    COMPLETE = "complete"
    FAILED = "failed"
    """It ended with an error; a person starts it again."""
    STOPPED = "stopped"
    """A stop was requested and it has saved; only `simplexity retry` starts it again."""
    CANCELLED = "cancelled"
    LOST = "lost"
    """Its process ended unexpectedly (killed, or the machine crashed); only `simplexity retry` starts it again."""
    MISSING = "missing"
    """It never began; only `simplexity retry` starts it."""
    UNREADABLE = "unreadable"
    """Its files cannot be read, so that nothing more is known of it; a person has to repair them."""


ACTIVE_STATES = frozenset({RunState.PENDING, RunState.RUNNING, RunState.WAITING})
"""States of runs that are executed, or will be automatically."""
UNFINISHED_STATES = frozenset({RunState.STOPPED, RunState.CANCELLED, RunState.LOST, RunState.MISSING})
"""States of runs that are neither complete nor failed, and that only `simplexity retry` starts again."""

# What SLURM calls the end of a job in which its batch script had no part, as when a node comes back that was given up.
_BY_SLURM = frozenset({"FAILED", "NODE_FAIL", "BOOT_FAIL", "REVOKED"})


class RunStatus(NamedTuple):
    """One run, as `simplexity status` shows it.

    Attributes:
        run: The manifest's entry.
        state: How it stands.
        step: The last step that is known.
        steps_per_s: How fast it goes; None unless it is running.
        loss_nats: Of a complete run the final one, of another the last that was logged.
        optimum_nats: The best possible loss.
        optimum_error_nats: How far it may be from that; None if it is exact, or unknown.
        excess_nats: Loss minus optimum.
        restarts: Starts after the first.
        node: Where it runs, or ran last.
        time_left_s: Of a running one, from its last line of metrics.
        reason: One line on why it is not running, or what is odd about how it is complete; empty if there is none.
        saved_step: The last step that was saved.
        goodput: Where its time went.
        last_event: What happened to it last; None if it never started, or is complete.
        complete_since: Unix time; None if it is not complete.
    """

    run: SweepRun
    state: RunState
    step: int
    steps_per_s: float | None
    loss_nats: float | None
    optimum_nats: float | None
    optimum_error_nats: float | None
    excess_nats: float | None
    restarts: int
    node: str
    time_left_s: float | None
    reason: str
    saved_step: int
    goodput: Goodput
    last_event: Event | None
    complete_since: float | None


def run_status(sweep: SweepDirectory, run: SweepRun, files: RunFiles, scheduler: SchedulerState) -> RunStatus:
    """Derives a run's status.

    Args:
        sweep: The sweep, for the run's log.
        run: The run.
        files: What its files say.
        scheduler: What SLURM, or the process that executes the sweep here, says.
    """
    state = _state(files, scheduler)
    event = files.summary.last_event
    rate = _steps_per_s(files) if state == RunState.RUNNING else None
    step = max([files.summary.last_step, *(record["step"] for record in files.metrics[-1:])])
    loss, optimum, error, excess = _losses(files)
    left_s = None
    if rate and files.metrics:
        left_s = max(0.0, (run.num_train_steps - files.metrics[-1]["step"]) / rate)
    return RunStatus(
        run=run,
        state=state,
        step=step,
        steps_per_s=rate,
        loss_nats=loss,
        optimum_nats=optimum,
        optimum_error_nats=error,
        excess_nats=excess,
        restarts=max(0, files.summary.attempts - 1),
        node=scheduler.node or ("" if event is None else event.node),
        time_left_s=left_s,
        reason=files.unreadable or _reason(sweep, run, state, files, scheduler),
        saved_step=files.summary.saved_step,
        goodput=files.summary.goodput,
        last_event=None if state == RunState.COMPLETE else event,
        complete_since=None if files.completion is None else files.completion.time,
    )


def _state(files: RunFiles, scheduler: SchedulerState) -> RunState:
    """What the run has written counts first; the scheduler says whether a run that is not executed now will be."""
    event = files.summary.last_event
    if files.unreadable:
        return RunState.UNREADABLE
    if files.completion is not None:
        return RunState.COMPLETE
    if files.alive or scheduler.executing:
        return RunState.RUNNING
    failure = event if event is not None and event.kind == EventKind.FAILED else None
    # What waits in the queue is started, whatever has happened: SLURM requeues a preempted job that has failed, too.
    # By name and not by time: the clocks of two machines differ.
    again = scheduler.submission not in (None, files.summary.submission)
    answered = failure is None or failure.comes_back or again
    if scheduler.waiting or (scheduler.coming and answered):
        return RunState.PENDING if event is None else RunState.WAITING
    if failure is not None and not (failure.comes_back and scheduler.coming is None):
        return RunState.FAILED
    if has_failed(files.exit_code) and scheduler.end != "CANCELLED":
        return RunState.FAILED  # before its ledger was open
    # After the end of a run that is to take more steps, too, nothing is lost.
    ends = (EventKind.PREEMPTED, EventKind.COMPLETE)
    saved = event is not None and (event.kind in ends or event.comes_back is True)
    if scheduler.coming is None and (saved or event is None):
        return RunState.PENDING if event is None else RunState.WAITING
    if scheduler.end == "CANCELLED":
        return RunState.CANCELLED
    # A job that was stopped exits with 85, which SLURM calls FAILED too.
    if scheduler.end in ("FAILED", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE") and not saved:
        return RunState.FAILED
    if event is None:
        return RunState.MISSING
    return RunState.STOPPED if saved else RunState.LOST


def _reason(sweep: SweepDirectory, run: SweepRun, state: RunState, files: RunFiles, scheduler: SchedulerState) -> str:
    event = files.summary.last_event
    if state in ACTIVE_STATES:
        return ""
    if state == RunState.COMPLETE:
        return event.reason or "" if event is not None and event.kind == EventKind.COMPLETE else ""
    # After its last end the run was submitted again, and has not begun.
    again = event is not None and scheduler.submission not in (None, files.summary.submission)
    since = f"; not started again: {scheduler.words}" if again and scheduler.words else ""
    if state == RunState.FAILED and event is not None and event.kind == EventKind.FAILED:
        return (event.reason or "no reason was recorded") + since
    words = scheduler.words or last_printed(sweep.log_path(run.index))
    if files.exit_code is None and scheduler.end in _BY_SLURM and not scheduler.words:
        return f"SLURM ended its job, not the run: {scheduler.end}" + (f"; last printed: {words}" if words else "")
    if state in (RunState.STOPPED, RunState.CANCELLED) and event is not None:
        words = f"saved at step {event.step}" + (f" after {event.reason}" if event.reason else "")
        if since:
            return words + since
    end = scheduler.end if scheduler.end not in ("", "CANCELLED", "COMPLETED") else ""
    if words and end.lower() == state:
        return words
    return ": ".join(part for part in (end, words) if part)


def _steps_per_s(files: RunFiles) -> float | None:
    """Steps per second of training, between the last two records, or from the run's beginning to the only one."""
    if not files.metrics:
        return None
    last = files.metrics[-1]
    first = files.metrics[0] if len(files.metrics) > 1 else {"step": 0, "time_s": 0.0}
    seconds = last.get("time_s", 0.0) - first.get("time_s", 0.0)
    steps = last.get("step", 0) - first.get("step", 0)
    return steps / seconds if seconds > 0 and steps > 0 else None


def _losses(files: RunFiles) -> tuple[float | None, float | None, float | None, float | None]:
    """The loss, the optimum, the optimum's error, and the excess."""
    end = files.completion
    if end is not None:
        return end.loss_nats, end.optimum_nats, end.optimum_error_nats, end.excess_nats
    last = files.metrics[-1] if files.metrics else {}
    return last.get("loss"), last.get("optimum"), last.get("optimum_error"), last.get("excess")
