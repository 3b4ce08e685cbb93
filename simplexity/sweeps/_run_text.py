"""`simplexity show` in words: the attempts at one run, and where its time went."""

import shlex
import time
from collections.abc import Sequence

from simplexity.runs import (
    Attempt,
    EventKind,
    RunDirectory,
    SlurmIds,
    best_saved_step,
    is_alive,
    known_reached_step,
    split_attempts,
    summarize,
)

from ._run_files import is_metrics, last_records, read_events, with_progress
from ._status_text import REPEATED_FAILURE, excess_text, goodput_text, is_repeated
from ._text import by_columns, display_path, duration, number, printable, table, wrapped

_HEADER = ("attempt", "began", "where", "from step", "to step", "saves", "took", "ended")
# What a narrow terminal does without, in this order.
_LEAST = tuple(_HEADER.index(name) for name in ("saves", "from step", "where"))


def run_text(directory: RunDirectory, *, width: int | None = None, colour: bool = False) -> str:
    """The attempts at a run, why each ended, and where the time went.

    Args:
        directory: The run's.
        width: Columns of the terminal: the reasons then stand below the table, whole. None for no limit.
        colour: Whether the header is bold.

    Raises:
        ValueError: If there is no run.
        RuntimeError: If its ledger cannot be read.
    """
    events = read_events(directory)
    if not events:
        return "the run has not begun"
    alive = is_alive(directory.lock_path)
    logged = [record for record in last_records(directory.metrics_path, 1) if is_metrics(record)]
    events = with_progress(events, logged)
    attempts = split_attempts(events)
    logged_step = max((record["step"] for record in logged), default=0)
    rows = [_row(index, attempts, alive, logged_step) for index in range(len(attempts))]
    summary = summarize(events)
    remarks, commands = [], []
    if width is None:
        lines = table(_HEADER, by_columns(rows), colour=colour)
    else:
        kinds = [(*row[:-1], row[-1].partition(":")[0]) for row in rows]
        lines = table(_HEADER, by_columns(kinds), width, _HEADER.index("where"), _LEAST, colour)
        remarks += [f"attempt {row[0]} {row[-1]}" for row in rows if ":" in row[-1]]
    remarks += [
        f"attempt {index}: {printable(event.reason)}"
        for index, attempt in enumerate(attempts, 1)
        for event in attempt.events
        if event.kind == EventKind.RESUME and event.reason
    ]
    completion = directory.read_completion()
    if completion is not None:
        loss = f"final loss {number(completion.loss_nats)} nats{excess_text(completion.excess_nats)}"
        remarks.append(f"complete at step {completion.step:,}: {loss}")
    elif alive:
        remarks.append(f"running; saved up to step {summary.saved_step:,}")
    elif is_repeated(events[-1].reason):
        remarks.append(f"not running; saved up to step {summary.saved_step:,}; {REPEATED_FAILURE}")
    else:
        remarks.append(f"not running; saved up to step {summary.saved_step:,}")
        commands.append(f"to resume it: simplexity resume {shlex.quote(display_path(directory.path))}")
    best = best_saved_step(directory)
    if best is not None:
        remarks.append(f"best saved step {best.step:,}: validation loss {number(best.validation_loss)} nats")
    remarks.append(f"total {goodput_text(summary.goodput)}")
    # Commands stay whole, to be copied.
    return "\n".join([*lines, "", *wrapped(remarks, width), *commands])


def _row(index: int, attempts: Sequence[Attempt], alive: bool, logged_step: int) -> tuple[str, ...]:
    attempt, later = attempts[index], attempts[index + 1 :]
    first, last = attempt.events[0], attempt.events[-1]
    reached = known_reached_step(attempt, later)
    if not later and attempt.has_computed:
        # The ledger records checkpoints only; the attempt that a kill ended, or that is running, has logged since.
        reached = max(reached, logged_step)
    where = first.node if first.slurm is None else f"{first.node} (job {_job(first.slurm)})"
    return (
        str(index + 1),
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(first.time)),
        where,
        str(attempt.start_step),
        str(reached),
        str(sum(event.kind == EventKind.CHECKPOINT for event in attempt.events)),
        duration(max(event.elapsed_s for event in attempt.events)),
        _end(last.kind, last.reason, running=not later and alive),
    )


def _job(ids: SlurmIds) -> str:
    name = ids.job_id if ids.array_job_id is None else f"{ids.array_job_id}_{ids.array_task_id}"
    return name + (f", restart {ids.restart_count}" if ids.restart_count else "")


def _end(kind: EventKind, reason: str | None, *, running: bool) -> str:
    if running:
        return "running"
    if kind not in (EventKind.PREEMPTED, EventKind.COMPLETE, EventKind.FAILED):
        return "ended unexpectedly: killed, or the machine crashed"
    return printable(f"{kind}: {reason}" if reason else kind.value)
