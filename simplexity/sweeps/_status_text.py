"""`simplexity status` in words."""

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import NamedTuple

from simplexity.runs import Goodput, counted

from ._manifest import common_overrides
from ._run_status import ACTIVE_STATES, UNFINISHED_STATES, RunState, RunStatus
from ._sweep_status import SweepStatus
from ._text import describe, duration, listed, number, pieces, printable, table, wrapped

_HEADER = ("run", "overrides", "state", "step", "steps/s", "loss", "excess", "restarts", "node", "left")
# Of a terminal so low that the runs matter more than what there is to type.
_FEW_LINES = 20
# Of the runs that have ended for the same reason.
_MOST_NAMED = 10
FILES_ALONE = " (the states come from the runs' files alone)"
# What a narrow terminal does without, in this order.
_LEAST = tuple(_HEADER.index(name) for name in ("node", "restarts", "steps/s", "left"))


def status_lines(
    sweep_path: str,
    status: SweepStatus,
    *,
    width: int | None = None,
    height: int | None = None,
    colour: bool = False,
) -> Iterator[str]:
    """The table of runs, the totals, why runs have ended, and what to type next.

    Args:
        sweep_path: As the user names the sweep.
        status: Its status.
        width: Columns of the terminal; None for no limit.
        height: Lines of the terminal: then the runs in which nothing happens are left out first; None for no limit.
        colour: Whether the table's header is bold, and what has failed red.
    """
    remarks = [totals(status), *_reasons(status.runs, 4 if height is not None else len(status.runs))]
    remarks += [printable(status.remark) + FILES_ALONE] if status.remark else []
    # Commands stay whole, to be copied.
    commands = next_commands(sweep_path, status)
    if height is not None and height < _FEW_LINES:
        commands = commands[-1:]
    below = [*wrapped(remarks, width), *commands]
    shown, left_out = status.runs, ""
    if height is not None and len(shown) > (room := max(1, height - len(below) - 4)):
        # Those that change, then the ended ones that need attention, then the rest.
        rank = {RunState.RUNNING: 0, RunState.WAITING: 1, RunState.PENDING: 3, RunState.COMPLETE: 4}
        chosen = sorted(shown, key=lambda run: (rank.get(run.state, 2), run.run.index))[:room]
        shown = sorted(chosen, key=lambda run: run.run.index)
        left_out = f"... and {counted(len(status.runs) - room, 'more run')}"
    common = common_overrides([run.run for run in status.runs])
    columns = (_columns(piece, common, short=width is not None) for piece in pieces(shown))
    yield from table(_HEADER, columns, width, 1, _LEAST, colour)
    yield from [*([left_out] if left_out else []), "", *below]


def totals(status: SweepStatus) -> str:
    """The sweep in one line: `12 runs: 7 complete, 5 running; the runs' times add up to 2 h: 93 % training`."""
    # Each is computed when it is asked for.
    num_in, goodput = status.counts, status.goodput
    counts = ", ".join(f"{num_in[state]} {state}" for state in RunState if num_in[state])
    restarts = sum(run.restarts for run in status.runs)
    parts = [f"{counted(len(status.runs), 'run')}: {counts}"]
    parts += [counted(restarts, "restart")] if restarts else []
    if goodput.total_s >= 1:
        # Longer than the sweep has taken: runs train at the same time, those of a pack even in one process.
        parts += [f"the runs' times add up to {goodput_text(goodput)}"]
    return "; ".join(parts)


def goodput_text(goodput: Goodput) -> str:
    """A time and where it went, `2 h 5 min: 93 % training`; what took less than one percent is left out."""
    spent = {
        "training": goodput.computing_s,
        "waiting": goodput.waiting_s,
        "compiling": goodput.compiling_s,
        "saving": goodput.saving_s,
        "restoring": goodput.restoring_s,
        "lost": goodput.lost_s,
        "start-up and validation": goodput.other_s,
    }
    shares = {name: round(100 * seconds / goodput.total_s) for name, seconds in spent.items()}
    parts = [f"{share} % {name}" for name, share in shares.items() if share or name == "training"]
    parts += [f"{counted(goodput.steps_lost, 'step')} computed twice"] if goodput.steps_lost else []
    return f"{duration(goodput.total_s)}: {', '.join(parts)}"


def excess_text(excess_nats: float | None) -> str:
    """What follows a final loss: `, excess 0.00300`, and why one may be negative; empty if it is not known."""
    if excess_nats is None:
        return ""
    # The validation's is a KL divergence, which cannot be.
    by_chance = " (negative by chance: without validation the loss is of the last training batches)"
    return f", excess {number(excess_nats)}{by_chance if round(excess_nats, 5) < 0 else ''}"


def best_run(status: SweepStatus) -> RunStatus | None:
    """The complete run nearest to its optimum, which may be another for each run; None if none is complete.

    Where a run does not know its optimum, the one with the smallest final loss.
    """
    complete = [run for run in status.runs if run.state == RunState.COMPLETE and run.loss_nats is not None]
    distances = [run.excess_nats for run in complete]
    if any(distance is None for distance in distances):
        distances = [run.loss_nats for run in complete]
    nearest = min(enumerate(distances), key=lambda pair: pair[1] or 0.0, default=None)
    return None if nearest is None else complete[nearest[0]]


def summary_lines(sweep_path: str, status: SweepStatus) -> list[str]:
    """What came of a sweep: how many runs are complete, which is the best, and what to type to look further.

    Args:
        sweep_path: The sweep's folder, as one would type it.
        status: What `read_status` has found in it.
    """
    return [
        f"{status.counts[RunState.COMPLETE]} of {counted(len(status.runs), 'run')} complete",
        *_best(sweep_path, status),
    ]


def next_commands(sweep_path: str, status: SweepStatus) -> list[str]:
    """Of a sweep that has ended: the best run, and what there is to type."""
    if not status.has_ended:
        return []
    lines = _best(sweep_path, status)
    to_start = {RunState.FAILED} | UNFINISHED_STATES
    ended = [run for run in status.runs if run.state in to_start]
    if ended and all(repeats_its_failure(run) for run in ended):
        return [*lines, REPEATED_FAILURE]
    others = [run for run in ended if not repeats_its_failure(run)]
    if status.on_slurm:
        lines += needed_changes(sweep_path, ended)
        others = [run for run in others if not any(limit.ended(run) for limit in _LIMITS)]
    if others:
        whom = "the others" if lines else "them"
        lines.append(f"to start {whom} again: simplexity retry {shlex.quote(sweep_path)}")
    return lines


class _Limit(NamedTuple):
    """A limit of a job, which a retry repeats: it submits runs with the profile that they had."""

    what: str
    key: str
    ended: Callable[[RunStatus], bool]


# In SLURM's word for a job or for workers, in srun's line (a worker's is quoted with its log), and in a worker's own.
# The exception of a run may say nearly the same of another memory.
_OUT_OF_MEMORY = re.compile(
    r"^OUT_OF_MEMORY\b"
    r"|^(.*: )?the workers of its job \S+ ended: (.*, )?OUT_OF_MEMORY\b"
    r"|^(.*: )?srun: error: .*: Out Of Memory( \(\S+\.log\))?$"
    r"|; in one of its starts, its process ran out of memory(; |$)"
)


def _lacked_memory(run: RunStatus) -> bool:
    return _OUT_OF_MEMORY.search(run.reason) is not None


def _lacked_time(run: RunStatus) -> bool:
    """Whether a run's time is too short for a start; one that has saved, or was stopped in order, may get on."""
    if "set a longer `cluster.time_limit_minutes`" in run.reason:
        return True  # it was given up for that
    return run.reason.startswith("TIMEOUT") and run.saved_step == 0 and run.state != RunState.STOPPED


_LIMITS = (
    _Limit("memory", "cluster.memory", _lacked_memory),
    _Limit("time", "cluster.time_limit_minutes", _lacked_time),
)


def needed_changes(sweep_path: str, runs: Sequence[RunStatus]) -> list[str]:
    """A line for each limit of a job at which runs have ended: what to change before they are started again.

    Args:
        sweep_path: As the user names the sweep.
        runs: Runs that have ended.
    """
    lines = []
    for limit in _LIMITS:
        if names := [str(run.run.index) for run in runs if limit.ended(run)]:
            who = f"run{'s' * (len(names) != 1)} {listed(names, _MOST_NAMED)} had too little {limit.what}"
            command = f"repeat the sweep's command with hydra.sweep.dir={shlex.quote(sweep_path)}"
            lines.append(f"{who}, and would have as little in a retry: {command} and a larger {limit.key}")
    return lines


REPEATED_FAILURE = (
    "a run whose loss is not finite repeats that when it is started again: start a new run with other settings"
)


def repeats_its_failure(run: RunStatus) -> bool:
    """Whether a run failed by its numbers alone, which are the same at every start."""
    return run.state == RunState.FAILED and is_repeated(run.reason)


def is_repeated(reason: str | None) -> bool:
    """Whether a failure is one of the run's numbers."""
    return "the loss is not finite" in (reason or "")


def _best(sweep_path: str, status: SweepStatus) -> list[str]:
    best = best_run(status)
    if best is None:
        return []
    common = common_overrides([run.run for run in status.runs])
    described = f"{best.run.index} ({describe(best.run.overrides, common, short=True)})"
    folder = str(PurePath(sweep_path, best.run.directory))
    return [
        f"best run: {described}: final loss {number(best.loss_nats)} nats{excess_text(best.excess_nats)}",
        f"to look at it: simplexity show {shlex.quote(folder)}",
        f"to see all results: simplexity results {shlex.quote(sweep_path)}",
    ]


def _columns(runs: Sequence[RunStatus], common: frozenset[str], *, short: bool) -> tuple[list[str], ...]:
    """The cells of some of the table's rows."""
    waiting = (RunState.PENDING, RunState.WAITING)
    return (
        [str(run.run.index) for run in runs],
        [describe(run.run.overrides, common, short=short) for run in runs],
        [run.state for run in runs],
        [_steps(run.step, run.run.num_train_steps) for run in runs],
        ["" if (rate := run.steps_per_s) is None else f"{rate:,.3g}" if rate < 100 else f"{rate:,.0f}" for run in runs],
        [number(run.loss_nats) for run in runs],
        [number(run.excess_nats) for run in runs],
        [str(run.restarts or "") for run in runs],
        [run.node if run.state not in waiting else "" for run in runs],
        ["" if (seconds := run.time_left_s) is None else duration(seconds) for run in runs],
    )


@lru_cache
def _steps(step: int, total: int) -> str:
    """Of complete runs, mostly the same."""
    return f"{step:,}/{max(total, step):,}"


def _reasons(runs: Sequence[RunStatus], most: int) -> list[str]:
    """A line for each reason, with the runs that have ended for it: thousands may have failed alike."""
    alike: dict[tuple[RunState, str], list[str]] = {}
    for run in runs:
        if run.reason and run.state not in ACTIVE_STATES:
            alike.setdefault((run.state, printable(run.reason)), []).append(str(run.run.index))
    lines = [
        f"run{'s' * (len(names) != 1)} {listed(names, _MOST_NAMED)} {state}: {reason}"
        for (state, reason), names in alike.items()
    ]
    return [*lines[:most], *([f"... and {counted(len(lines) - most, 'more reason')}"] if len(lines) > most else [])]
