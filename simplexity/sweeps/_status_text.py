"""`simplexity status` in words."""

import shlex
import textwrap
from collections.abc import Sequence

from simplexity.runs import Goodput

from ._manifest import common_overrides
from ._run_status import GOING_ON, LEFT_BEHIND, RunState, RunStatus
from ._sweep_status import SweepStatus
from ._text import duration, number, printable, table

_HEADER = ("run", "overrides", "state", "step", "steps/s", "loss", "excess", "restarts", "node", "left")
# What a narrow terminal does without, in this order.
_LEAST = tuple(_HEADER.index(name) for name in ("node", "restarts", "steps/s", "left"))


def status_text(sweep_path: str, status: SweepStatus, *, width: int | None = None, height: int | None = None) -> str:
    """The table of runs, the totals, why runs have ended, and what to type next.

    Args:
        sweep_path: As the user names the sweep.
        status: Its status.
        width: Columns of the terminal; None for no limit.
        height: Lines of the terminal: then the runs in which nothing happens are left out first; None for no limit.
    """
    told = [totals(status), *_reasons(status.runs, 4 if height is not None else len(status.runs))]
    told += [printable(status.remark) + ": from the runs' files alone"] if status.remark else []
    # Commands stay whole, to be copied.
    below = [*_wrapped(told, width), *next_commands(sweep_path, status)]
    shown, left_out = list(status.runs), ""
    if height is not None and len(shown) > (room := max(1, height - len(below) - 4)):
        # Those that change, then the ended ones that need somebody, then the rest.
        rank = {RunState.RUNNING: 0, RunState.WAITING: 1, RunState.PENDING: 3, RunState.COMPLETE: 4}
        chosen = sorted(shown, key=lambda run: (rank.get(run.state, 2), run.run.index))[:room]
        shown = sorted(chosen, key=lambda run: run.run.index)
        left_out = f"... and {len(status.runs) - room} more runs"
    common = common_overrides([run.run for run in status.runs])
    lines = table(_HEADER, [_row(run, common, short=width is not None) for run in shown], width, 1, _LEAST)
    return "\n".join([*lines, *([left_out] if left_out else []), "", *below])


def totals(status: SweepStatus) -> str:
    """The sweep in one line: `12 runs: 7 complete, 4 running, 1 failed; 3 restarts; 93 % of 2 h 5 min was training`."""
    counts = ", ".join(f"{status.counts[state]} {state}" for state in RunState if status.counts[state])
    restarts = sum(run.restarts for run in status.runs)
    parts = [f"{_plural(len(status.runs), 'run')}: {counts}"]
    parts += [_plural(restarts, "restart")] if restarts else []
    parts += [goodput_text(status.goodput)] if status.goodput.total_s > 0 else []
    return "; ".join(parts)


def goodput_text(goodput: Goodput) -> str:
    """Where the time went, in one line; what took less than one percent is left out."""
    spent = {
        "waiting": goodput.waiting_s,
        "compiling": goodput.compiling_s,
        "saving": goodput.saving_s,
        "restoring": goodput.restoring_s,
        "lost": goodput.lost_s,
        "starting and validating": goodput.other_s,
    }
    shares = {name: round(100 * seconds / goodput.total_s) for name, seconds in spent.items()}
    rest = ", ".join(f"{share} % {name}" for name, share in shares.items() if share)
    lost = f", {_plural(goodput.steps_lost, 'step')} computed twice" if goodput.steps_lost else ""
    return f"{100 * goodput.fraction:.0f} % of {duration(goodput.total_s)} was training" + (
        f" ({rest}{lost})" if rest or lost else ""
    )


def next_commands(sweep_path: str, status: SweepStatus) -> list[str]:
    """What there is to type for a sweep that needs somebody."""
    path = shlex.quote(sweep_path)
    if not status.has_ended:
        return []
    if status.counts[RunState.COMPLETE] == len(status.runs):
        return [f"all runs are complete: simplexity results {path}"]
    if not any(status.counts[state] for state in {RunState.FAILED} | LEFT_BEHIND):
        return []
    return [f"to start the others again: simplexity retry {path}"]


def describe(overrides: Sequence[str], common: frozenset[str] = frozenset(), *, short: bool = False) -> str:
    """A run's overrides in one line, without those that all runs have.

    Args:
        overrides: The run's.
        common: Those of all runs.
        short: Whether `learning_rate=0.01` may stand for `training.optimizer.instance.learning_rate=0.01`: where no
            other key of the run ends so.
    """
    told = [override for override in overrides if override not in common] or list(overrides)
    if short:
        names = [override.partition("=")[0].rpartition(".")[2] for override in told]
        told = [
            override if names.count(name) > 1 else name + "".join(override.partition("=")[1:])
            for override, name in zip(told, names, strict=True)
        ]
    return printable(" ".join(told)) or "(no overrides)"


def _wrapped(lines: Sequence[str], width: int | None) -> list[str]:
    if width is None:
        return list(lines)
    return [
        part for line in lines for part in textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False)
    ]


def _row(status: RunStatus, common: frozenset[str], *, short: bool) -> tuple[str, ...]:
    total = status.run.num_train_steps
    return (
        str(status.run.index),
        describe(status.run.overrides, common, short=short),
        status.state.value,
        f"{status.step:,}/{max(total, status.step):,}",
        ""
        if status.steps_per_s is None
        else f"{status.steps_per_s:,.3g}"
        if status.steps_per_s < 100
        else f"{status.steps_per_s:,.0f}",
        number(status.loss_nats),
        number(status.excess_nats),
        str(status.restarts) if status.restarts else "",
        status.node if status.state not in (RunState.PENDING, RunState.WAITING) else "",
        "" if status.time_left_s is None else duration(status.time_left_s),
    )


def _reasons(runs: Sequence[RunStatus], most: int) -> list[str]:
    ended = [run for run in runs if run.reason and run.state not in GOING_ON]
    lines = [f"run {run.run.index} {run.state}: {printable(run.reason)}" for run in ended[:most]]
    return lines + ([f"... and {len(ended) - most} more"] if len(ended) > most else [])


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("s" if count != 1 else "")
