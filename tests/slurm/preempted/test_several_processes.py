"""Runs of several tasks on a real SLURM: on two nodes through the launcher, on one through slurm/run.sh."""

import subprocess
import sys
from pathlib import Path

import pytest

from simplexity.runs import EventKind, read_ledger
from tests.small_runs import GRU, SCRIPT, SMALL, assert_same_run
from tests.step_tasks import run_in_tasks

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
LONGER = (
    "training.num_train_steps=3000",
    "training.log_every=100",
    "validation.every=1500",
    "persistence.instance.save_every_steps=null",
)


@pytest.fixture
def checkout(tmp_path, monkeypatch, cache):
    for name, target in {"slurm": ROOT / "slurm", "simplexity": ROOT / "simplexity", ".venv": sys.prefix}.items():
        (tmp_path / name).symlink_to(target)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMPLEXITY_CACHE", str(cache))
    return tmp_path


def kinds(run_dir: Path) -> list[str]:
    return [event.kind for event in read_ledger(run_dir / "run.jsonl")]


def test_preempted_runs_of_two_tasks_go_on_bit_for_bit(dev_cluster, checkout, cache):
    cluster = dev_cluster("--preempt-mode=requeue")
    launcher = ("hydra/launcher=slurm", "cluster=dev", "cluster.nodes=2", "hydra.launcher.wait=false")
    command = [sys.executable, str(SCRIPT), "--multirun", *launcher, "hydra.sweep.dir=sweep", *SMALL, *GRU, *LONGER]
    sweep = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert sweep.returncode == 0, sweep.stderr
    on_nodes = checkout / "sweep" / "0"
    cluster.wait_until(lambda: EventKind.FIRST_STEP in kinds(on_nodes), 200)
    cluster.preempt_everything()
    cluster.wait_until(lambda: EventKind.PREEMPTED in kinds(on_nodes))

    options = ("--ntasks-per-node=2", "--cpus-per-task=1", "--mem=1G")
    job = cluster.slurm("sbatch", "--parsable", *options, "slurm/run.sh", *SMALL, *GRU, *LONGER)
    on_one_node = checkout / "outputs" / "slurm" / job
    cluster.wait_until(lambda: EventKind.FIRST_STEP in kinds(on_one_node), 200)
    cluster.preempt_everything()
    cluster.wait_until(lambda: EventKind.PREEMPTED in kinds(on_one_node))

    runs = (on_nodes, on_one_node)
    cluster.wait_until(lambda: all((run / "COMPLETE").exists() for run in runs), 300)

    reference = checkout / "reference"
    tasks = run_in_tasks(reference, "gru", *LONGER, cache=cache)
    assert [task.returncode for task in tasks] == [0, 0], tasks
    for run in runs:
        assert EventKind.FAILED not in kinds(run)
        assert_same_run(run, reference)
