"""The CPU time of a sweep of small runs on this machine: by workers, and with a process for each run.

python -m benchmarks.local_sweep [--runs N] [--alone N]
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAM = [sys.executable, str(ROOT / "simplexity" / "train_model.py")]
RUN = (
    "training.num_train_steps=300",
    "training.batch_size=32",
    "training.sequence_len=32",
    "predictive_model.instance.hidden_size=32",
    "predictive_model.instance.num_layers=1",
    # A run by itself would draw its picture, which takes longer than its training; those of a sweep do not.
    "figures=false",
)
# How many times as much a process for each run is to take.
WANTED = 6.0
RUNS, ALONE = 96, 12


@dataclass(frozen=True)
class LocalSweep:
    """Seconds of CPU per run, by workers and in a process for each run."""

    runs: int
    worker_cpu_s: float
    alone: int
    alone_cpu_s: float

    @property
    def ratio(self) -> float:
        """How many times as much a process for each run takes."""
        return self.alone_cpu_s / self.worker_cpu_s

    def table(self) -> str:
        """The lines that are printed."""
        return "\n".join(
            [
                f"{'CPU seconds per run':<32}{'seconds':>8}",
                f"{f'a process for each run ({self.alone})':<32}{self.alone_cpu_s:>8.2f}",
                f"{f'workers ({self.runs} runs)':<32}{self.worker_cpu_s:>8.2f}",
                f"{'ratio':<32}{self.ratio:>7.1f}x   wanted: {WANTED:.0f}x",
            ]
        )


def main() -> int:
    """Returns 1 if workers take more than is wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_sweep", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of the sweep that workers execute")
    parser.add_argument(
        "--alone", type=int, default=ALONE, help="runs that have a process of their own; half of them first"
    )
    arguments = parser.parse_args()
    measured = measure(arguments.runs, arguments.alone)
    print(measured.table())
    return int(measured.ratio < WANTED)


def measure(runs: int = RUNS, alone: int = ALONE) -> LocalSweep:
    """Executes a sweep by workers, between two halves of the runs that have a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        # Both read compiled programs from the cache, as the second sweep of a model does.
        execute(folder, f"hydra.run.dir={folder}/first", "seed=0")
        half = alone // 2
        by_themselves = [execute(folder, f"hydra.run.dir={folder}/{seed}", f"seed={seed}") for seed in range(half)]
        sweep = execute(
            folder, "--multirun", "hydra/launcher=local", f"hydra.sweep.dir={folder}/sweep", f"seed=range(0,{runs})"
        )
        by_themselves += [
            execute(folder, f"hydra.run.dir={folder}/{seed}", f"seed={seed}") for seed in range(half, alone)
        ]
    return LocalSweep(runs, sweep / runs, alone, sum(by_themselves) / alone)


def execute(folder: str, *arguments: str) -> float:
    """Executes the program, which must succeed; returns the seconds of CPU of its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "SIMPLEXITY_CACHE": f"{folder}/cache"}
    subprocess.run([*PROGRAM, *RUN, *arguments], env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
