"""What is known of one run: its files first, and then whoever is to start it again."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from simplexity.runs import Completion, Event, EventKind, ExitCode, RunSummary, read_ledger, summarize

from ._directory import SweepDirectory, is_alive
from ._manifest import SweepRun
from ._run_files import last_records, last_words


class RunState(StrEnum):
    """How a run stands."""

    PENDING = "pending"
    """It has not begun, and will."""
    RUNNING = "running"
    WAITING = "waiting"
    """It was stopped, and will go on by itself."""
    COMPLETE = "complete"
    FAILED = "failed"
    """It ended with an error; a person starts it again."""
    STOPPED = "stopped"
    """It was asked to stop and has saved; nothing will start it again by itself."""
    CANCELLED = "cancelled"
    LOST = "lost"
    """Its process ended without a word, and nothing will start it again by itself."""
    MISSING = "missing"
    """It never began, and nothing will start it by itself."""
    UNREADABLE = "unreadable"
    """Its files cannot be read, so that nothing more is known of it; a person mends them."""


GOING_ON = frozenset({RunState.PENDING, RunState.RUNNING, RunState.WAITING})
"""States that end by themselves."""
LEFT_BEHIND = frozenset({RunState.STOPPED, RunState.CANCELLED, RunState.LOST, RunState.MISSING})
"""States of runs that are neither complete nor failed, and that nothing will start again."""

# Exit codes above it are those of a process that a signal has ended.
_KILLED = 128
# What SLURM calls the end of a job in which its batch script had no part, as when a node comes back that was given up.
_BY_SLURM = frozenset({"FAILED", "NODE_FAIL", "BOOT_FAIL", "REVOKED"})


class Prospect(NamedTuple):
    """What the one that starts runs, SLURM or a process on its machine, says of a run.

    Attributes:
        coming: Whether it executes the run or is going to; None if it does not answer.
        executing: Whether it says that the run has a machine now.
        waiting: Whether it says that the run waits for one, whatever has happened before.
        node: That machine; empty if unknown.
        end: SLURM's word for how the last job ended, such as FAILED or CANCELLED; empty if unknown.
        submission: Name of the last submission; a failure of an earlier one was answered by it. None if unknown.
    """

    coming: bool | None
    executing: bool = False
    waiting: bool = False
    node: str = ""
    end: str = ""
    submission: str | None = None


class RunFiles(NamedTuple):
    """What a run's directory says.

    Attributes:
        completion: How it ended; None if it has not.
        summary: What its ledger adds up to.
        metrics: The last two records of metrics.jsonl.
        alive: Whether a process has it now.
        exit_code: Of the last batch script; None if it runs, was to come back, or was ended by SLURM.
        unreadable: One line on what cannot be read; empty if all can. Then the other fields say nothing.
    """

    completion: Completion | None = None
    summary: RunSummary = summarize([])
    metrics: list[dict[str, Any]] = []  # noqa: RUF012  of a tuple
    alive: bool = False
    exit_code: int | None = None
    unreadable: str = ""


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
        reason: One line on why it is not going on; empty otherwise.
        summary: What its ledger adds up to.
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
    summary: RunSummary


def read_run(sweep: SweepDirectory, run: SweepRun) -> RunFiles:
    """Reads a run's files; only the ends of those that grow. A run that cannot be read is no end of the others."""
    directory = sweep.run_directory(run)
    try:
        completion = directory.read_completion()
        if completion is not None:
            return RunFiles(completion, summarize(read_ledger(directory.ledger_path)))
        metrics = last_records(directory.metrics_path, 2)
        if not all(map(is_metrics, metrics)):
            raise RuntimeError(f"the last lines of {directory.metrics_path} were not written by a run")
        return RunFiles(
            None,
            summarize(with_progress(read_ledger(directory.ledger_path), metrics[-1:])),
            metrics,
            is_alive(directory.lock_path),
            _exit_code(sweep.exit_code_path(run.index)),
        )
    except (RuntimeError, ValueError, OSError) as error:
        return RunFiles(unreadable=reading_failure(error))


def with_progress(events: Sequence[Event], metrics: Sequence[dict[str, Any]]) -> list[Event]:
    """A ledger's events, and behind them what the last logged line tells of the time since the last event.

    Between two saves the ledger stands still. The line is of the same host's clock as the attempt's events.

    Args:
        events: The ledger.
        metrics: The last record of metrics.jsonl; nothing if there is none.
    """
    training = (EventKind.RESUME, EventKind.FIRST_STEP, EventKind.CHECKPOINT)
    if not events or not metrics or events[-1].kind not in training:
        return list(events)
    last, line = events[-1], metrics[-1]
    seconds = line.get("timestamp", 0.0) - last.time
    if seconds <= 0 or line["step"] < last.step:
        return list(events)
    spent = last.seconds._replace(computing=last.seconds.computing + seconds)
    now = last._replace(
        sequence=last.sequence + 1,
        kind=EventKind.FIRST_STEP,
        step=line["step"],
        time=line["timestamp"],
        elapsed_s=last.elapsed_s + seconds,
        seconds=spent,
        reason=None,
        stopping_s=None,
    )
    return [*events, now]


def reading_failure(error: Exception) -> str:
    """Why a run's file cannot be read, in one line that names the file."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def is_metrics(record: dict[str, Any]) -> bool:
    """Whether a line of metrics.jsonl has the numbers that a run writes."""
    # A loss that is not finite is written as null.
    losses = (record.get(name) for name in ("loss", "optimum", "optimum_error", "excess"))
    clocks = (record.get(name, 0.0) for name in ("time_s", "timestamp"))
    return (
        isinstance(record.get("step"), int)
        and all(isinstance(loss, int | float | None) for loss in losses)
        and all(isinstance(clock, int | float) for clock in clocks)
    )


def _exit_code(path: Path) -> int | None:
    """What the last batch script has left in its file; on a full disk that is empty."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else ExitCode.FAILED


def judge(sweep: SweepDirectory, run: SweepRun, files: RunFiles, prospect: Prospect) -> RunStatus:
    """Puts together what a run's files and its prospect say."""
    state = _state(files, prospect)
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
        node=prospect.node or _node(event),
        time_left_s=left_s,
        reason=files.unreadable or _reason(sweep, run, state, files, prospect),
        summary=files.summary,
    )


def _state(files: RunFiles, prospect: Prospect) -> RunState:
    event = files.summary.last_event
    if files.unreadable:
        return RunState.UNREADABLE
    if files.completion is not None:
        return RunState.COMPLETE
    if files.alive or prospect.executing:
        return RunState.RUNNING
    failure = event if event is not None and event.kind == EventKind.FAILED else None
    # What waits in the queue is started, whatever has happened: SLURM requeues a preempted job that has failed, too.
    # By name and not by time: the clocks of two machines differ.
    again = prospect.submission not in (None, files.summary.submission)
    answered = failure is None or failure.comes_back or again
    if prospect.waiting or (prospect.coming and answered):
        return RunState.PENDING if event is None else RunState.WAITING
    if failure is not None and not (failure.comes_back and prospect.coming is None):
        return RunState.FAILED
    if _has_failed(files.exit_code) and prospect.end != "CANCELLED":
        return RunState.FAILED  # before its ledger was open
    saved = event is not None and (event.kind == EventKind.PREEMPTED or event.comes_back is True)
    if prospect.coming is None and (saved or event is None):
        return RunState.PENDING if event is None else RunState.WAITING
    if prospect.end == "CANCELLED":
        return RunState.CANCELLED
    # A job that was stopped leaves with 85, which SLURM calls FAILED too.
    if prospect.end in ("FAILED", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE") and not saved:
        return RunState.FAILED
    if event is None:
        return RunState.MISSING
    return RunState.STOPPED if saved else RunState.LOST


def _has_failed(exit_code: int | None) -> bool:
    """Whether a batch script ended with an error, and not with a run that was stopped or killed."""
    return exit_code is not None and exit_code not in (ExitCode.COMPLETE, ExitCode.REQUEUE) and exit_code <= _KILLED


def _reason(sweep: SweepDirectory, run: SweepRun, state: RunState, files: RunFiles, prospect: Prospect) -> str:
    event = files.summary.last_event
    if state in GOING_ON or state == RunState.COMPLETE:
        return ""
    if state == RunState.FAILED and event is not None and event.kind == EventKind.FAILED:
        return event.reason or "it left no reason"
    words = last_words(sweep.log_path(run.index))
    if files.exit_code is None and prospect.end in _BY_SLURM:
        return f"SLURM ended its job, not the run: {prospect.end}" + (f"; last printed: {words}" if words else "")
    if state in (RunState.STOPPED, RunState.CANCELLED) and event is not None:
        words = f"saved at step {event.step}" + (f" after {event.reason}" if event.reason else "")
    said = prospect.end if prospect.end not in ("", "CANCELLED", "COMPLETED") else ""
    return ": ".join(part for part in (said, words) if part)


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


def _node(event: Event | None) -> str:
    if event is None:
        return ""
    return (event.slurm.node if event.slurm is not None else None) or event.host
