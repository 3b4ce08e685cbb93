"""Submits a sweep of 1,000 runs to a real SLURM on this machine and asks for its status: seconds, and memory.

python -m benchmarks.sweeps [--runs N]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.commands import CLI, measure
from simplexity.runs import EventKind, Ledger, RunDirectory
from simplexity.sweeps import SweepDirectory

ROOT = Path(__file__).parent.parent
DEV_CLUSTER = ROOT / "slurm" / "dev-cluster"
# What is wanted, on a login node.
SUBMIT_S, STATUS_S, MEMORY_MB = 10.0, 2.0, 200.0


def main() -> int:
    """Returns 1 if a command took more than is wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeps", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a socket's path must be short
        sweep = SweepDirectory(Path(folder) / "sweep")
        environment = os.environ | {"SLURM_CONF": f"{folder}/slurm/slurm.conf", "JAX_PLATFORMS": "cpu"}
        subprocess.run([DEV_CLUSTER, "up", f"{folder}/slurm"], check=True, stdout=subprocess.DEVNULL)
        try:
            submission = measure(submit_command(sweep, runs), environment)
            pretend_progress(sweep)
            status = measure([*CLI, "status", str(sweep.path)], environment)
        finally:
            subprocess.run([DEV_CLUSTER, "down", f"{folder}/slurm"], check=True)
    print(f"{'':24}{'seconds':>8}{'wanted':>8}{'MB':>6}{'wanted':>8}")
    print(f"{f'submit {runs:,} runs':<24}{submission.seconds:>8.1f}{SUBMIT_S:>8.0f}{submission.memory_mb:>6.0f}")
    print(f"{'status of them':<24}{status.seconds:>8.1f}{STATUS_S:>8.0f}{status.memory_mb:>6.0f}{MEMORY_MB:>8.0f}")
    return int(submission.seconds > SUBMIT_S or status.seconds > STATUS_S or status.memory_mb > MEMORY_MB)


def submit_command(sweep: SweepDirectory, runs: int) -> list[str]:
    """Held, so that no run takes the processor from what is measured."""
    return [
        sys.executable, str(ROOT / "simplexity" / "run_experiment.py"), "--multirun", "hydra/launcher=slurm",
        "cluster=dev", "+cluster.sbatch_options.hold=''", "hydra.launcher.wait=false", f"hydra.sweep.dir={sweep.path}",
        f"seed=range(0, {runs // 2})", "training.optimizer.instance.learning_rate=0.01,0.001",
    ]  # fmt: skip


def pretend_progress(sweep: SweepDirectory) -> None:
    """Of four runs each, one has not begun, one was stopped, and two are complete."""
    for run in sweep.read_manifest().runs:
        if run.index % 4 == 0:
            continue
        directory = RunDirectory.create(sweep.run_directory(run).path)
        ledger = Ledger(directory.ledger_path)
        for step, kind in enumerate((EventKind.START, EventKind.FIRST_STEP, EventKind.CHECKPOINT, EventKind.PREEMPTED)):
            ledger.append(kind, step)
        lines = ({"step": step, "time_s": step / 10, "loss": 0.8, "excess": 0.01} for step in range(200))
        directory.metrics_path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        if run.index % 2:
            directory.mark_complete(run.num_train_steps, 0.8, 0.79, 0.01)


if __name__ == "__main__":
    sys.exit(main())
