"""Sweeps of the real program on a real SLURM."""

import subprocess
import sys
from pathlib import Path

import pytest

from simplexity.cluster import cancel
from simplexity.runs import read_ledger
from simplexity.sweeps import RunState, SweepDirectory, read_status

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
REQUEUES = ("--preempt-mode=requeue",)
HOSTILE = "a b\\'c $HOME `id` %a ü;&#"
TINY = (
    "training.batch_size=4",
    "training.sequence_len=8",
    "training.log_every=5",
    "predictive_model.instance.hidden_size=4",
)


@pytest.fixture
def submit(tmp_path):
    """Submits a sweep of train_model into a folder under a hostile path; returns it, with what the program said."""

    def _submit(*arguments) -> tuple[SweepDirectory, subprocess.CompletedProcess]:
        command = [sys.executable, str(ROOT / "simplexity/train_model.py"), "--multirun", "hydra/launcher=slurm"]
        command += ["cluster=dev", f"hydra.sweep.dir='{tmp_path}/{HOSTILE}'", *TINY, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        return SweepDirectory(tmp_path / HOSTILE.replace("\\", "")), done

    return _submit


def states(sweep):
    return [run.state for run in read_status(sweep).runs]


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-P", "-m", "simplexity.cli", *arguments], capture_output=True, text=True, timeout=300
    )


def test_a_preempted_sweep_completes_without_its_driver(dev_cluster, submit):
    cluster = dev_cluster(*REQUEUES)
    steps = "training.num_train_steps=20000"
    sweep, done = submit(steps, "seed=0,1,2,3", "hydra.launcher.wait=false")
    assert done.returncode == 0, done.stderr
    assert "submitted 4 runs as job " in done.stdout
    cluster.wait_until(lambda: states(sweep) == [RunState.RUNNING] * 4, 120)
    runs = sweep.read_manifest().runs
    metrics = [sweep.run_directory(run).metrics_path for run in runs]
    cluster.wait_until(lambda: all(path.exists() for path in metrics), 120)
    cluster.preempt_everything()
    cluster.wait_until(lambda: RunState.WAITING in states(sweep), 120)
    cluster.wait_until(lambda: states(sweep) == [RunState.COMPLETE] * 4, 400)
    status = read_status(sweep)
    assert all(run.restarts == 1 for run in status.runs)
    assert status.goodput.steps_lost == 0
    assert "all runs are complete" in command("status", str(sweep.path)).stdout


def test_a_failed_run_is_shown_and_retried_alone(dev_cluster, submit):
    cluster = dev_cluster(*REQUEUES)
    sweep, done = submit("training.num_train_steps=20", "predictive_model.load_checkpoint_step=null,20")
    assert done.returncode == 1
    assert "1 of 2 runs failed: #1" in done.stderr
    assert states(sweep) == [RunState.COMPLETE, RunState.FAILED]
    (sweep.path / "1/checkpoints").mkdir(exist_ok=True)
    (sweep.path / "0/checkpoints/20").rename(sweep.path / "1/checkpoints/20")
    again = command("retry", str(sweep.path), "--failed")
    assert again.returncode == 0, again.stderr
    assert "again: #1 predictive_model.load_checkpoint_step=20" in again.stdout
    cluster.wait_until(lambda: states(sweep) == [RunState.COMPLETE] * 2, 120)
    starts = [len([e for e in read_ledger(sweep.path / f"{i}/run.jsonl") if e.kind == "start"]) for i in (0, 1)]
    assert starts == [1, 2]


def test_what_was_cancelled_stays_so_until_it_is_retried(dev_cluster, submit):
    cluster = dev_cluster(*REQUEUES)
    sweep, _ = submit("training.num_train_steps=200000", "seed=0,1", "hydra.launcher.wait=false")
    try:
        cluster.wait_until(lambda: (sweep.path / "0/metrics.jsonl").exists(), 120)
        again = submit("training.num_train_steps=200000", "seed=0,1", "hydra.launcher.wait=false")[1]
        assert "nothing to submit" in again.stdout
        assert command("cancel", str(sweep.path)).returncode == 0
        cluster.wait_until(lambda: set(states(sweep)) == {RunState.CANCELLED}, 120)
        other = submit("training.num_train_steps=200000", "seed=0,7", "hydra.launcher.wait=false")[1]
        assert other.returncode == 2
        assert "it has a run 1 with another config" in other.stderr
        assert command("retry", str(sweep.path)).returncode == 0
        cluster.wait_until(lambda: RunState.RUNNING in states(sweep), 120)
    finally:
        cancel([line.split("_")[0] for line in cluster.slurm("squeue", "--noheader", "--format=%i").splitlines()])
