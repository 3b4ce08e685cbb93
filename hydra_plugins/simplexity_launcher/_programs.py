"""How many compiled programs a sweep's runs have, and what it will cost by the time that such runs took earlier.

Which numbers a program takes as arguments is known exactly only once it is built, by JAX. Here programs are compared by
the text of the frozen configs: those that differ in numbers alone share one.
"""

import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from simplexity.cluster import ClusterProfile
from simplexity.runs import counted, read_ledger, summarize
from simplexity.sweeps import SlurmLaunch, SweepDirectory, display_path, duration

from ._preparation import PreparedRun

# In a frozen config, what is an argument of the compiled program: the seed, the number of steps, and numbers with a
# decimal point or an exponent (of the process, the optimizer, the schedule, the initial scale).
_VALUE = re.compile(r"(?<=seed): \d+$|(?<=num_train_steps): \d+$|: -?\d*(\.\d*(e[-+]?\d+)?|e[-+]?\d+)$", re.MULTILINE)
# Hydra names a sweep's folder multirun/DATE/TIME.
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
# A file system may be slow: so many sweeps are looked at, and of each so many runs.
_MOST_SWEEPS, _MOST_RUNS = 8, 64


class RunKind(NamedTuple):
    """Runs with as many steps of the same program, which take about the same time.

    Attributes:
        program: The text of a frozen config without what is an argument of the program.
        num_train_steps: The number of steps.
    """

    program: str
    num_train_steps: int


def programs_text(prepared: Sequence[PreparedRun]) -> str:
    """About how many programs the runs have, in words."""
    programs = len({kind.program for kind in _kinds(prepared)})
    return f"about {counted(programs, 'program')}"


def cost_text(sweep: SweepDirectory, launch: SlurmLaunch, prepared: Sequence[PreparedRun]) -> str:
    """What the sweep will cost, in words: `about 0.4 node-hours: such a run took 15 s in multirun/2026-11-27/10-00-00`.

    Each task counts as so many whole nodes as it is on.

    Args:
        sweep: The sweep, which is not submitted yet.
        launch: How it will be launched.
        prepared: All its runs.

    Returns:
        The words; empty unless runs of each of its programs have completed as many steps in the newest sweeps beside
        this one, with the same resources. That is not known of a sweep that was submitted before either, since its runs
        may have begun, nor of runs that are trained together.
    """
    if launch.pack != 1 or sweep.read_submissions():
        return ""
    counts = _kinds(prepared)
    unknown = set(counts)
    seconds: dict[RunKind, float] = {}
    sources: list[str] = []
    for earlier in _newest_beside(sweep.path):
        found = _timed(earlier, launch, unknown)
        seconds |= found
        sources += [display_path(earlier.path)] if found else []
        unknown -= set(found)
        if not unknown:
            break
    if unknown or not seconds:
        return ""
    node_s = sum(seconds[kind] * number for kind, number in counts.items()) * launch.profile.nodes
    hours = node_s / launch.profile.workers_per_task / 3600
    shortest, longest = duration(min(seconds.values())), duration(max(seconds.values()))
    took = shortest if shortest == longest else f"{shortest} to {longest}"
    amount = f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
    return f"about {amount} node-hours: such a run took {took} in {', '.join(sources)}"


def _kinds(prepared: Sequence[PreparedRun]) -> Counter[RunKind]:
    # The configs of many runs consist of a few pieces.
    without_values = lru_cache(maxsize=4096)(_without_values)
    by_pieces = Counter((tuple(map(without_values, one.config)), one.run.num_train_steps) for one in prepared)
    return Counter({RunKind("".join(pieces), steps): number for (pieces, steps), number in by_pieces.items()})


def _without_values(text: str) -> str:
    return _VALUE.sub(": _", text)


def _newest_beside(path: Path) -> Iterator[SweepDirectory]:
    """The newest sweeps beside one: in the same folder, and where that is named by a date, in those of other dates."""
    folders = [path.parent]
    if _DATE.fullmatch(path.parent.name):
        folders = sorted((one for one in _children(path.parent.parent) if _DATE.fullmatch(one.name)), reverse=True)
    found: list[tuple[float, Path]] = []
    for folder in folders:
        for child in _children(folder):
            try:
                found.append((os.stat(SweepDirectory(child).manifest_path).st_mtime, child))
            except OSError:  # no sweep
                continue
        if len(found) > _MOST_SWEEPS:
            break
    newest = [child for _, child in sorted(found, reverse=True) if child != path]
    yield from map(SweepDirectory, newest[:_MOST_SWEEPS])


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _timed(sweep: SweepDirectory, launch: SlurmLaunch, wanted: set[RunKind]) -> dict[RunKind, float]:
    """The mean seconds of runs like those wanted, of what an earlier sweep has completed with the same resources."""
    seconds: defaultdict[RunKind, list[float]] = defaultdict(list)
    try:
        before = sweep.read_manifest(with_runs=False).launch
        if not isinstance(before, SlurmLaunch) or not _takes_as_long(before, launch):
            return {}
        steps = {kind.num_train_steps for kind in wanted}
        runs = [run for run in sweep.read_manifest().runs if run.num_train_steps in steps]
        # By chance, and the same each time: every second run of a grid could be of one model.
        for run in random.Random(0).sample(runs, min(len(runs), _MOST_RUNS)):
            directory = sweep.run_directory(run)
            if directory.read_completion() is None:
                continue
            kind = RunKind(_without_values(directory.config_path.read_text(encoding="utf-8")), run.num_train_steps)
            goodput = summarize(read_ledger(directory.ledger_path)).goodput
            if kind in wanted:
                seconds[kind].append(goodput.total_s - goodput.waiting_s)
    except (RuntimeError, OSError, ValueError):
        # A cost that is not known keeps no sweep from being submitted.
        return {}
    return {kind: sum(times) / len(times) for kind, times in seconds.items()}


def _takes_as_long(before: SlurmLaunch, now: SlurmLaunch) -> bool:
    """Whether a run takes about as long: on the same resources, and in a task of its own only if in one now too."""
    same = before.pack == now.pack and (before.workers is None) == (now.workers is None)
    return same and _resources(before.profile) == _resources(now.profile)


def _resources(profile: ClusterProfile) -> tuple[str | int | None, ...]:
    where = (profile.partition, profile.constraint, profile.gres, profile.gpus_per_node)
    return (*where, profile.cpus_per_task, profile.nodes, profile.tasks_per_node, profile.tasks_per_gpu)
