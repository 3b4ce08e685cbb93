"""`sbatch slurm/run.sh` on a real SLURM, from a checkout whose run_experiment.py is the payload."""

import json
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CANCELS = ("--preempt-mode=cancel", "--no-user-signal")

pytestmark = pytest.mark.slurm


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = tmp_path / "a 'checkout'"
    for name in ("slurm/run.sh", "simplexity/cluster/requeue.sh"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(Path(__file__).with_name("payload.py"), folder / "simplexity" / "run_experiment.py")
    # PATH need not have a `python`: Debian has none.
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PAYLOAD", json.dumps({"starts": 2}))
    return folder


def submit(cluster, *arguments: str) -> str:
    return cluster.slurm("sbatch", "--parsable", "--mem=100M", "--cpus-per-task=1", *arguments)


def lines(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text().splitlines() if (folder / name).exists() else []


def took_each_step_once(folder: Path) -> bool:
    steps = lines(folder, "steps")
    return steps == [str(step) for step in range(len(steps))]


def test_a_preempted_job_goes_on_in_the_same_run_directory(dev_cluster, checkout):
    cluster = dev_cluster("--preempt-mode=requeue")
    job = submit(cluster, "slurm/run.sh", "name=two words")
    run = checkout / "outputs" / "slurm" / job
    cluster.wait_until(lambda: len(lines(run, "steps")) >= 3)
    cluster.preempt_everything()
    cluster.wait_until(lambda: lines(run, "ends"))
    assert lines(run, "starts") == [f"{job} 0", f"{job} 1"]
    assert took_each_step_once(run)
    assert json.loads(lines(run, "arguments")[1]) == [f"hydra.run.dir=outputs/slurm/{job}", "name=two words"]
    # Not in the checkout, which would then be one with changes to every later run.
    assert any("requeued" in line for line in lines(run, "slurm.out"))
    assert not list(checkout.glob("*.out"))


def test_an_array_runs_seeds(dev_cluster, checkout, monkeypatch):
    monkeypatch.setenv("PAYLOAD", "{}")
    cluster = dev_cluster("--preempt-mode=requeue")
    job = submit(cluster, "--array=3,5", "slurm/run.sh")
    runs = {seed: checkout / "outputs" / "slurm" / f"{job}_{seed}" for seed in (3, 5)}
    cluster.wait_until(lambda: all(lines(run, "ends") for run in runs.values()))
    for seed, run in runs.items():
        assert json.loads(lines(run, "arguments")[0]) == [f"hydra.run.dir=outputs/slurm/{job}_{seed}", f"seed={seed}"]


def test_where_slurm_refuses_to_requeue_a_new_job_takes_over_with_the_same_options(dev_cluster, checkout):
    cluster = dev_cluster(*CANCELS)
    job = submit(cluster, "--array=7", "--time=33", "slurm/run.sh", "x=1")
    run = checkout / "outputs" / "slurm" / f"{job}_7"
    cluster.wait_until(lambda: len(lines(run, "steps")) >= 3)
    cluster.slurm("scontrol", "update", f"JobId={job}_7", "Requeue=0")
    cluster.preempt_everything()
    cluster.wait_until(lambda: lines(run, "ends"))
    assert took_each_step_once(run)
    first, second = (line.split()[0] for line in lines(run, "starts"))
    assert first != second
    record = cluster.slurm("scontrol", "--oneliner", "show", "job", f"{second}_7")
    for option in ("Partition=low", "TimeLimit=00:33:00", "CPUs/Task=1", "MinMemoryNode=100M"):
        assert f" {option} " in record
    assert json.loads(lines(run, "arguments")[1])[1:] == ["seed=7", "x=1"]
