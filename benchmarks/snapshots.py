"""What snapshots cost a run of the default model and of the smallest one: the real script with and without, in turns.

python -m benchmarks.snapshots [--turns N] [--case NAME ...]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from simplexity.persistence import SnapshotSchedule
from simplexity.runs import EventKind, RunDirectory, read_ledger

SCRIPT = Path(__file__).parent.parent / "simplexity" / "run_experiment.py"
TRAINING_ALONE = ("validation=null", "analysis=null", "figures=false", "training.log_every=500")
# Of the training time, for the schedule of a run as its users have it. The others take what their users ask for.
WANTED_PERCENT = 1.0
WANTED_OF = "per_decade=10"


class Case(NamedTuple):
    """A run with so many snapshots that their cost shows, and the schedules that its users have."""

    overrides: Sequence[str]
    num_steps: int
    every: int
    """Steps from one snapshot to the next, in the run that is measured."""
    used_steps: int
    """The length of a run as its users have it."""
    schedules: dict[str, SnapshotSchedule]
    """Of such a run."""


CASES = {
    "default": Case(
        overrides=(),
        num_steps=500,
        every=2,
        used_steps=2_000,
        schedules={"per_decade=10": SnapshotSchedule(per_decade=10), "every=10": SnapshotSchedule(every=10)},
    ),
    "smallest": Case(
        overrides=(
            "predictive_model.instance.hidden_size=32",
            "predictive_model.instance.num_layers=1",
            "training.batch_size=32",
            "training.sequence_len=32",
        ),
        num_steps=6_000,
        every=20,
        used_steps=20_000,
        schedules={"per_decade=10": SnapshotSchedule(per_decade=10), "every=100": SnapshotSchedule(every=100)},
    ),
}


class Cost(NamedTuple):
    """What a run took: seconds from its first step to its end, and CPU seconds of its whole process."""

    wall_s: float
    cpu_s: float


def main() -> int:
    """Returns 1 if the snapshots of the schedule `WANTED_OF` cost more than is wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.snapshots", description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--case", choices=tuple(CASES), nargs="+", default=tuple(CASES))
    arguments = parser.parse_args()
    percents = [report(name, CASES[name], arguments.turns) for name in arguments.case]
    return int(max(percents) > WANTED_PERCENT)


def report(name: str, case: Case, num_turns: int) -> float:
    """Prints what a snapshot costs, and what share of the training time each schedule takes; returns `WANTED_OF`'s."""
    overrides = [*case.overrides, *TRAINING_ALONE, f"training.num_train_steps={case.num_steps}"]
    num_snapshots = case.num_steps // case.every + 1
    without, with_them = [], []
    with tempfile.TemporaryDirectory() as folder:
        cost_of(Path(folder) / "warm up", overrides)
        for turn in range(num_turns):
            without.append(cost_of(Path(folder) / f"{turn} without", overrides))
            dense = [*overrides, f"persistence.snapshots.every={case.every}"]
            with_them.append(cost_of(Path(folder) / f"{turn} with", dense))
    print(
        f"{f'{name}: {case.num_steps:,} steps, {num_snapshots} snapshots':<45}{'without':>9}{'with':>9}{'ms each':>9}"
    )
    each_ms = {}
    for field, label in zip(Cost._fields, ("first step to end, wall s", "whole process, CPU s"), strict=True):
        before, after = (statistics.median(getattr(cost, field) for cost in costs) for costs in (without, with_them))
        # A machine that others use slows both runs of a turn alike.
        more = statistics.median(getattr(b, field) - getattr(a, field) for a, b in zip(without, with_them, strict=True))
        each_ms[field] = 1e3 * more / num_snapshots
        print(f"  {label:<43}{before:>9.2f}{after:>9.2f}{each_ms[field]:>9.2f}")
    training_ms = 1e3 * statistics.median(cost.wall_s for cost in without) * case.used_steps / case.num_steps
    percents = {}
    for text, schedule in case.schedules.items():
        count = len(due_steps(schedule, case.used_steps))
        percents[text] = 100 * count * each_ms["wall_s"] / training_ms
        wanted = f" (wanted: {WANTED_PERCENT:.0f} %)" if text == WANTED_OF else ""
        share = f"{percents[text]:.1f} % of the training time{wanted}"
        print(f"  {text}: {count} in {case.used_steps:,} steps take {share}")
    return percents[WANTED_OF]


def due_steps(schedule: SnapshotSchedule, last_step: int) -> list[int]:
    """The steps of a schedule up to the last one, which has a snapshot too."""
    due, step = [], schedule.next_due_step(-1)
    while step is not None and step < last_step:
        due.append(step)
        step = schedule.next_due_step(step)
    return [*due, last_step]


def cost_of(run_dir: Path, overrides: Sequence[str]) -> Cost:
    """Runs the script with these overrides."""
    before = _children_cpu_s()
    subprocess.run(
        [sys.executable, str(SCRIPT), f"hydra.run.dir='{run_dir}'", *overrides],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    cpu_s = _children_cpu_s() - before
    times = {event.kind: event.time for event in read_ledger(RunDirectory(run_dir).ledger_path)}
    return Cost(times[EventKind.COMPLETE] - times[EventKind.FIRST_STEP], cpu_s)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
