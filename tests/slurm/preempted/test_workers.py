"""Workers on a real SLURM: array tasks that execute one run of a sweep after the other."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from simplexity.runs import read_holder
from simplexity.sweeps import RunState, SweepDirectory, read_status
from tests.slurm.witness import ledger
from tests.small_runs import assert_same_run, environment

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[3]
TINY = (
    "training.batch_size=4",
    "training.sequence_len=8",
    "training.log_every=2000",
    "predictive_model.instance.hidden_size=4",
    "predictive_model.instance.num_layers=1",
)
REFERENCE = """
import pathlib, sys
from simplexity.host import PreemptionGuard
from simplexity.running import run_frozen
with PreemptionGuard() as guard:
    sys.exit(run_frozen(pathlib.Path(sys.argv[1]), guard, None))
"""


def submit(folder: Path, cache: Path, *arguments) -> tuple[SweepDirectory, str]:
    command = [sys.executable, str(ROOT / "simplexity/train_model.py"), "--multirun", "hydra/launcher=slurm"]
    command += ["cluster=dev", f"hydra.sweep.dir={folder}", "hydra.launcher.wait=false", *TINY, *arguments]
    done = subprocess.run(
        command, cwd=folder.parent, env=environment(cache), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return SweepDirectory.open(folder), done.stdout


def num_events(folders: list[Path], kind: str) -> int:
    return sum(event["kind"] == kind for folder in folders for event in ledger(folder))


def is_complete(sweep: SweepDirectory) -> bool:
    return all(run.state == RunState.COMPLETE for run in read_status(sweep).runs)


def test_a_site_that_allows_few_jobs_completes_many_runs(dev_cluster, tmp_path, cache):
    """Two limits at once: eight tasks in an array, and ten submitted jobs, of which four are in use."""
    cluster = dev_cluster("--accounting", "--max-submit-jobs=10", "--max-array-size=8")
    cluster.slurm("sbatch", "--array=0-3", "--hold", "--output=/dev/null", "--wrap=true")
    arguments = ("training.num_train_steps=20", "seed=range(0,200)", "hydra.launcher.workers=200")
    sweep, said = submit(tmp_path / "sweep", cache, *arguments)
    assert "submitted 200 runs as job" in said
    assert "200 runs, 6 workers, about 33 runs each, about 1 program\n" in said
    cluster.wait_until(lambda: is_complete(sweep), 900)
    folders = [sweep.run_directory(run).path for run in sweep.read_manifest().runs]
    assert num_events(folders, "start") == num_events(folders, "complete") == 200


def test_whatever_is_taken_from_workers_each_run_completes_once_as_if_alone(dev_cluster, tmp_path, cache):
    """Four preemptions, a worker that is killed, and a controller that is: 24 runs by 3 workers on 2 nodes."""
    cluster = dev_cluster("--cpus=1", "--grace=60")
    arguments = ("training.num_train_steps=20000", "persistence.instance.save_every_steps=4000", "seed=range(0,12)")
    rates = "training.optimizer.instance.learning_rate=0.01,0.001"
    sweep, said = submit(tmp_path / "sweep", cache, *arguments, rates, "hydra.launcher.workers=3")
    assert "24 runs, 3 workers, about 8 runs each, about 1 program\n" in said
    folders = [sweep.run_directory(run).path for run in sweep.read_manifest().runs]
    for number in range(4):
        preempt(cluster, folders)
        if number == 1:
            kill_a_worker(cluster, folders)
        if number == 2:
            os.kill(cluster.pid("slurmctld"), signal.SIGKILL)
            time.sleep(2)
            cluster.up()
    cluster.wait_until(lambda: is_complete(sweep), 900)

    ends = Counter(event["kind"] for folder in folders for event in ledger(folder))
    assert (ends["complete"], ends["failed"]) == (24, 0)
    assert ends["preempted"] >= 4
    assert ends["start"] == 24 + ends["preempted"] + 1
    interrupted = [folder for folder in folders if num_events([folder], "start") > 1]
    for folder in {folders[0], *interrupted}:
        assert_as_if_alone(folder, tmp_path, cache)


def test_workers_that_share_a_gpu_are_preempted_and_come_back_together(dev_cluster, tmp_path, cache):
    """SLURM believes that there are two GPUs, of which each has two of the array task's four workers."""
    cluster = dev_cluster("--cpus=4", "--gpus=2", "--grace=60")
    arguments = ("training.num_train_steps=20000", "persistence.instance.save_every_steps=4000", "seed=range(0,6)")
    shared = ("cluster.gpus_per_node=2", "cluster.tasks_per_gpu=2", "hydra.launcher.workers=1")
    sweep, said = submit(tmp_path / "sweep", cache, *arguments, *shared)
    assert "6 runs, 4 workers in 1 array task, about 2 runs each, about 1 program\n" in said
    folders = [sweep.run_directory(run).path for run in sweep.read_manifest().runs]
    cluster.wait_until(lambda: num_events(folders, "first_step") >= 4)
    preempt(cluster, folders)
    cluster.wait_until(lambda: is_complete(sweep), 900)
    ends = Counter(event["kind"] for folder in folders for event in ledger(folder))
    assert (ends["complete"], ends["failed"]) == (6, 0)
    assert ends["start"] == 6 + ends["preempted"]
    records = [sweep.worker_path(f"array_0_{number}").read_text() for number in range(4)]
    assert all(record.count('"pid"') >= 2 and '"exit_code"' in record for record in records)
    assert_as_if_alone(next(folder for folder in folders if num_events([folder], "preempted")), tmp_path, cache)


def test_a_sweep_that_is_extended_ends_as_if_it_had_been_longer(dev_cluster, tmp_path, cache):
    """The command of a complete sweep once more, with a larger number of steps."""
    cluster = dev_cluster("--cpus=1", "--grace=60")
    for steps in (2000, 4000):
        arguments = (f"training.num_train_steps={steps}", "seed=0,1", "hydra.launcher.workers=1")
        sweep, said = submit(tmp_path / "sweep", cache, *arguments)
        cluster.wait_until(lambda sweep=sweep: is_complete(sweep))
    assert "extending 2 runs to 4000 steps" in said
    for run in sweep.read_manifest().runs:
        folder = sweep.run_directory(run).path
        assert [event["step"] for event in ledger(folder) if event["kind"] == "complete"] == [2000, 4000]
        assert_as_if_alone(folder, tmp_path, cache)


@pytest.mark.parametrize("workers", ["null", "2"])
def test_the_first_run_that_fails_cancels_the_others_which_save(dev_cluster, tmp_path, cache, workers):
    """The first loss of run 0 is not finite; run 1 trains beside it, run 2 waits."""
    cluster = dev_cluster("--cpus=1")
    rates = "training.optimizer.instance.learning_rate=1e38,0.001,0.002"
    arguments = ("training.num_train_steps=200000", "training.gradient_clip_norm=null", rates)
    stops = ("hydra.launcher.on_failure=stop", f"hydra.launcher.workers={workers}")
    sweep, _ = submit(tmp_path / "sweep", cache, *arguments, *stops)
    cluster.wait_until(lambda: read_status(sweep).has_ended, 300)
    states = [run.state for run in read_status(sweep).runs]
    assert states[0] == RunState.FAILED
    assert set(states[1:]) == {RunState.CANCELLED}
    kinds = [event["kind"] for event in ledger(sweep.path / "1")]
    ends = [kind for kind in kinds if kind in ("checkpoint", "preempted")]
    # One that is stopped before its first step has nothing to save.
    assert ends in ([["checkpoint", "preempted"]] if "first_step" in kinds else [[], ["preempted"]])


def assert_as_if_alone(folder: Path, tmp_path: Path, cache: Path) -> None:
    """The run's bits are those that a process for this run alone computes, without an interruption."""
    alone = tmp_path / "alone" / folder.name
    alone.mkdir(parents=True)
    (alone / "config.yaml").write_bytes((folder / "config.yaml").read_bytes())
    subprocess.run(
        [sys.executable, "-c", REFERENCE, alone], env=environment(cache), check=True, stdout=subprocess.DEVNULL
    )
    assert_same_run(folder, alone)


def preempt(cluster, folders: list[Path]) -> None:
    """Preempts the workers while runs are being trained: repeated until it has stopped one."""
    stopped = num_events(folders, "preempted")
    while num_events(folders, "preempted") == stopped:
        begun = num_events(folders, "first_step")
        cluster.wait_until(lambda begun=begun: num_events(folders, "first_step") > begun)
        job = cluster.preempt_everything()
        cluster.wait_until(lambda job=job: job not in cluster.slurm("squeue", "--noheader", "--format=%A").split())


def kill_a_worker(cluster, folders: list[Path]) -> None:
    begun = num_events(folders, "first_step")
    cluster.wait_until(lambda: num_events(folders, "first_step") > begun)
    for folder in folders:
        holder = read_holder(folder / "lock")
        if holder is not None and holder.owner is not None and not (folder / "COMPLETE").exists():
            os.kill(holder.owner.pid, signal.SIGKILL)
            return
    pytest.fail("no worker had a run")
