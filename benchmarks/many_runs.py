"""Commands on a sweep of a hundred thousand complete runs, whose folders this makes: CPU seconds, and memory.

python -m benchmarks.many_runs [--runs N] [--record]

A run has the files that `status` and `results` read, with the content that a run of 2,000 steps leaves. Nothing is
submitted: SLURM is not queried about complete runs.
"""

import argparse
import json
import os
import sys
import tempfile
from datetime import date
from pathlib import Path

from benchmarks.commands import CLI, measure, record
from simplexity.sweeps import LocalLaunch, Manifest, SweepDirectory, SweepRun

# What is wanted, on a login node, after the first look.
CPU_S, MEMORY_MB = 5.0, 200.0
# A worker without a run to execute: what it takes to see that there is none.
COMMANDS = ("status", "results", "retry", "cancel", "work")
_LINE = {"step": 2000, "loss": 0.81, "validation_loss": 0.8, "optimum": 0.79, "excess": 0.01, "learning_rate": 0.001}
_LEDGER = "".join(
    json.dumps(
        {
            "sequence": number, "kind": kind, "step": step, "time": 1.8e9 + step, "elapsed_s": step / 100, "host": "n1",
            "pid": 12, "seconds": {"computing": 1.0, "compiling": 2.0, "saving": 0.1, "restoring": 0.0},
        }
    ) + "\n"
    for number, (kind, step) in enumerate([("start", 0), ("first_step", 1), ("checkpoint", 2000), ("complete", 2000)])
)  # fmt: skip
_ANALYSIS = json.dumps({"step": 2000, "best": {"features": "layer_0", "r2": 0.99}, "targets": {}, "functions": {}})
_COMPLETE = json.dumps({"step": 2000, "loss_nats": 0.8, "optimum_nats": 0.79, "excess_nats": 0.01, "time": 1.8e9})
_LINKS = 1000


def main() -> int:
    """Returns 1 if a later look takes more than is wanted of 100,000 runs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_runs", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--record", action="store_true", help="record benchmarks/results/many-runs-DATE.json")
    arguments = parser.parse_args()
    runs, missed, costs = arguments.runs, False, {}
    with tempfile.TemporaryDirectory() as folder:
        make_sweep(Path(folder), runs)
        print(f"{f'{runs:,} complete runs':<28}{'CPU s':>8}{'MB':>8}")
        for command in COMMANDS:
            # What the first look has read is kept.
            for look in ("first", "later") if command in ("status", "results") else ("later",):
                cost = measure([*CLI, *command.split(), folder])
                missed |= look == "later" and (cost.cpu_s > CPU_S or cost.memory_mb > MEMORY_MB)
                costs[f"{command}, {look} look"] = {"cpu_s": cost.cpu_s, "memory_mb": cost.memory_mb}
                print(f"{f'{command}, {look} look':<28}{cost.cpu_s:>8.1f}{cost.memory_mb:>8.0f}", flush=True)
        print(f"{'wanted of a later look':<28}{CPU_S:>8.1f}{MEMORY_MB:>8.0f}", flush=True)
        # Not behind the folder's removal, which takes a minute and may be interrupted.
        if arguments.record:
            record(f"many-runs-{date.today().isoformat()}", {"runs": runs, "commands": costs})
    return int(missed)


def make_sweep(folder: Path, num_runs: int) -> None:
    """Makes a sweep of complete runs, over seeds and ten learning rates."""
    sweep = SweepDirectory(folder)
    sweep.folder.mkdir(parents=True)
    runs = tuple(
        SweepRun(
            i, (f"seed={i}", f"training.optimizer.instance.learning_rate=0.00{i % 10 + 1}"), "0" * 16, str(i), 2000
        )
        for i in range(num_runs)
    )
    launch = LocalLaunch(max_parallel=None, cores_per_run=None)
    sweep.write_manifest(
        Manifest(
            program="run_experiment", config_name="experiment", created=1.8e9, version="0", working_folder=str(folder),
            launch=launch, runs=runs,
        )
    )  # fmt: skip
    for run in runs:
        directory = sweep.run_directory(run)
        directory.path.mkdir()
        files = {
            directory.ledger_path: _LEDGER,
            directory.metrics_path: json.dumps(_LINE) + "\n",
            directory.analysis_path: _ANALYSIS + "\n",
            directory.complete_path: _COMPLETE + "\n",
        }
        first = sweep.run_directory(runs[run.index - run.index % _LINKS]).path
        for path, text in files.items():
            # Half a million files take minutes to write, and as many links seconds.
            if first == directory.path:
                path.write_text(text)
            else:
                os.link(first / path.name, path)


if __name__ == "__main__":
    sys.exit(main())
