"""The CPU time of a sweep of small runs on this machine: by workers, and with a process for each run.

python -m benchmarks.local_sweep [--runs N] [--alone N]
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
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


def main() -> int:
    """Returns 1 if workers take more than is wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_sweep", description=__doc__)
    parser.add_argument("--runs", type=int, default=96, help="runs of the sweep that workers execute")
    parser.add_argument(
        "--alone", type=int, default=12, help="runs that have a process of their own; half of them first"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # Both read compiled programs from the cache, as the second sweep of a model does.
        execute(folder, f"hydra.run.dir={folder}/first", "seed=0")
        seeds = list(range(arguments.alone))
        half = len(seeds) // 2
        before = [execute(folder, f"hydra.run.dir={folder}/{seed}", f"seed={seed}") for seed in seeds[:half]]
        sweep = execute(
            folder,
            "--multirun",
            "hydra/launcher=local",
            f"hydra.sweep.dir={folder}/sweep",
            f"seed=range(0,{arguments.runs})",
        )
        after = [execute(folder, f"hydra.run.dir={folder}/{seed}", f"seed={seed}") for seed in seeds[half:]]
    alone_s, by_workers_s = sum(before + after) / len(seeds), sweep / arguments.runs
    print(f"{'CPU seconds per run':<32}{'seconds':>8}")
    print(f"{f'a process for each run ({len(seeds)})':<32}{alone_s:>8.2f}")
    print(f"{f'workers ({arguments.runs} runs)':<32}{by_workers_s:>8.2f}")
    print(f"{'ratio':<32}{alone_s / by_workers_s:>8.1f}   wanted: {WANTED:.0f}")
    return int(alone_s / by_workers_s < WANTED)


def execute(folder: str, *arguments: str) -> float:
    """Executes the program, which must succeed; returns the seconds of CPU of its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "SIMPLEXITY_CACHE": f"{folder}/cache"}
    subprocess.run([*PROGRAM, *RUN, *arguments], env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
