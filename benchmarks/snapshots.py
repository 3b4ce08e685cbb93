"""What 121 snapshots cost a run of the smallest model, end to end: the real script with and without them, in turns.

python -m benchmarks.snapshots [--turns N]
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

from simplexity.runs import EventKind, RunDirectory, read_ledger

SCRIPT = Path(__file__).parent.parent / "simplexity" / "run_experiment.py"
# A snapshot comes every 80 ms, more often than anybody needs: what it costs shows.
SMALLEST = (
    "predictive_model=gru",
    "predictive_model.instance.hidden_size=32",
    "predictive_model.instance.num_layers=1",
    "training.batch_size=32",
    "training.sequence_len=32",
    "training.num_train_steps=12000",
    "training.log_every=4000",
    "validation=null",
    "analysis=null",
    "figures=false",
)
SNAPSHOTS, NUM_SNAPSHOTS = ("persistence.snapshots.every=100",), 121
WANTED_PERCENT = 1.0


class Cost(NamedTuple):
    """What a run took: seconds from its first step to its end, and CPU seconds of its whole process."""

    wall_s: float
    cpu_s: float


def main() -> int:
    """Returns 1 if snapshots cost more than is wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.snapshots", description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    percent = report(parser.parse_args().turns, SMALLEST)
    return int(percent > WANTED_PERCENT)


def report(num_turns: int, overrides: Sequence[str]) -> float:
    """Prints both runs' medians and what a snapshot costs; returns the percentage of the wall-clock time."""
    without, with_them = [], []
    with tempfile.TemporaryDirectory() as folder:
        cost_of(Path(folder) / "warm up", overrides)
        for turn in range(num_turns):
            without.append(cost_of(Path(folder) / f"{turn} without", overrides))
            with_them.append(cost_of(Path(folder) / f"{turn} with", [*overrides, *SNAPSHOTS]))
    print(f"{'':30}{'without':>9}{'with':>9}{'ms each':>9}{'percent':>9}")
    percents = []
    for name, label in zip(Cost._fields, ("first step to end, wall s", "whole process, CPU s"), strict=True):
        before, after = (statistics.median(getattr(cost, name) for cost in costs) for costs in (without, with_them))
        # A machine that others use slows both runs of a turn alike.
        more = statistics.median(getattr(b, name) - getattr(a, name) for a, b in zip(without, with_them, strict=True))
        percents.append(100 * more / before)
        print(f"{label:<30}{before:>9.2f}{after:>9.2f}{1e3 * more / NUM_SNAPSHOTS:>9.2f}{percents[-1]:>9.1f}")
    return percents[0]


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
