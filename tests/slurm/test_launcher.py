"""Sweeps of the real program on a real SLURM."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from simplexity.cluster import cancel, queued_tasks
from simplexity.runs import read_ledger
from simplexity.sweeps import RunState, SweepDirectory, read_status
from tests.slurm.witness import is_alive
from tests.terminal import on_terminal

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.usefixtures("patience")]

ROOT = Path(__file__).parents[2]
REQUEUES = ("--preempt-mode=requeue",)
HOSTILE = "a b\\'c\n$HOME `id` %a ü;&#"
TINY = (
    "training.batch_size=4",
    "training.sequence_len=8",
    "training.log_every=100",
    "predictive_model.instance.hidden_size=4",
    "predictive_model.instance.num_layers=1",
)


@pytest.fixture
def submit(tmp_path):
    """Submits a sweep of train_model into a folder under a hostile path; returns it, with what the program said."""

    def _submit(*arguments) -> tuple[SweepDirectory, subprocess.CompletedProcess]:
        done = program(tmp_path, f"hydra.sweep.dir='{tmp_path}/{HOSTILE}'", *TINY, *arguments)
        return SweepDirectory(tmp_path / HOSTILE.replace("\\", "")), done

    return _submit


def words(*arguments):
    script = str(ROOT / "simplexity/train_model.py")
    return [sys.executable, script, "--multirun", "hydra/launcher=slurm", "cluster=dev", *arguments]


def program(folder, *arguments):
    return subprocess.run(words(*arguments), cwd=folder, capture_output=True, text=True, timeout=600)


def states(sweep):
    return [run.state for run in read_status(sweep).runs]


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-P", "-m", "simplexity.cli", *arguments], capture_output=True, text=True, timeout=300
    )


def events(sweep, kind, index=0):
    return [event for event in read_ledger(sweep.path / f"{index}/run.jsonl") if event.kind == kind]


def test_where_slurm_cancels_what_it_preempts_the_sweep_completes_too(dev_cluster, submit):
    """The batch script submits each task anew; `status` follows it to the new job."""
    cluster = dev_cluster("--preempt-mode=cancel", "--no-user-signal")
    sweep, done = submit("training.num_train_steps=60000", "seed=0,1", "hydra.launcher.wait=false")
    assert done.returncode == 0, done.stderr
    (job,) = re.findall("submitted 2 runs as job ([0-9]+), ", done.stdout)
    cluster.wait_until(lambda: all((sweep.path / f"{index}/metrics.jsonl").exists() for index in (0, 1)))
    for index in (0, 1):
        cluster.slurm("scontrol", "update", f"JobId={job}_{index}", "Requeue=0")
    cluster.preempt_everything()
    seen = set()
    cluster.wait_until(lambda: seen.update(states(sweep)) or states(sweep) == [RunState.COMPLETE] * 2)
    assert seen <= {RunState.RUNNING, RunState.WAITING, RunState.COMPLETE}
    status = read_status(sweep)
    assert all(run.restarts == 1 for run in status.runs)
    assert status.goodput.steps_lost == 0
    assert "2 runs: 2 complete" in command("status", str(sweep.path)).stdout


def test_a_failed_run_is_shown_and_retried_alone(dev_cluster, submit):
    cluster = dev_cluster(*REQUEUES)
    overrides = ("training.num_train_steps=20", "predictive_model.load_checkpoint_step=null,20")
    sweep, done = submit(*overrides, "persistence.on_complete=keep")
    assert done.returncode == 1
    assert "2 runs: 1 complete, 1 failed" in done.stdout
    assert states(sweep) == [RunState.COMPLETE, RunState.FAILED]
    (job,) = re.findall("submitted 2 runs as job ([0-9]+), ", done.stdout)
    expected = {f"{job}_0": "COMPLETED", f"{job}_1": "FAILED"}
    cluster.wait_until(lambda: {name: task.state for name, task in queued_tasks([job]).items()} == expected)
    last_line = (sweep.path / "logs/1.log").read_text().splitlines()[-2]
    assert last_line.startswith("`predictive_model.load_checkpoint_step`: ")
    assert f"run 1 failed: ConfigError: {last_line}" in command("status", str(sweep.path)).stdout
    (sweep.path / "1/checkpoints").mkdir(exist_ok=True)
    (sweep.path / "0/checkpoints/20").rename(sweep.path / "1/checkpoints/20")
    again = command("retry", str(sweep.path), "--failed")
    assert again.returncode == 0, again.stderr
    assert "again: #1 predictive_model.load_checkpoint_step=20" in again.stdout
    cluster.wait_until(lambda: states(sweep) == [RunState.COMPLETE] * 2)
    assert [len(events(sweep, "start", index)) for index in (0, 1)] == [1, 2]


def test_a_run_that_is_killed_comes_back_and_fails_after_three_restarts_in_vain(dev_cluster, submit):
    cluster = dev_cluster(*REQUEUES)
    sweep, done = submit("training.num_train_steps=200", "hydra.launcher.wait=false")
    (job,) = re.findall("submitted 1 run as job ([0-9]+), ", done.stdout)

    def wait_for_start(number):
        # Still importing: nothing is saved.
        cluster.wait_until(lambda: len(events(sweep, "start")) == number)
        return events(sweep, "start")[-1].pid

    # SLURM waits some seconds by itself before it starts a requeued job: one that is hurried, as by StartTime=now, may
    # meet a credential of its predecessor on the node, for which SLURM fails it.
    os.kill(wait_for_start(1), signal.SIGKILL)
    wait_for_start(2)
    # A preemption does not count, however often it comes.
    cluster.slurm("scontrol", "requeue", f"{job}_0")
    for number in (3, 4, 5):
        os.kill(wait_for_start(number), signal.SIGKILL)
        cluster.wait_until(lambda: states(sweep) == [RunState.WAITING])
    cluster.wait_until(lambda: states(sweep) == [RunState.FAILED])
    cluster.wait_until(lambda: queued_tasks([job])[f"{job}_0"].state == "FAILED")
    said = command("status", str(sweep.path)).stdout
    assert "run 0 failed: RuntimeError: not started again: 4 starts in a row saved nothing after step 0 (" in said
    assert command("retry", str(sweep.path)).returncode == 0
    cluster.wait_until(lambda: states(sweep) == [RunState.COMPLETE])


def test_a_restart_that_fails_before_the_run_begins_is_shown_with_its_cause(dev_cluster, submit, tmp_path):
    cluster = dev_cluster(*REQUEUES)
    gone = tmp_path / "gone"
    setup = f"cluster.setup=['[[ ! -e {gone} ]] || {{ echo the image is gone; exit 2; }}']"
    sweep, done = submit("training.num_train_steps=100000000", "hydra.launcher.wait=false", setup)
    assert done.returncode == 0, done.stderr
    (job,) = re.findall("submitted 1 run as job ([0-9]+), ", done.stdout)
    cluster.wait_until(lambda: events(sweep, "first_step"))
    gone.touch()
    cluster.slurm("scontrol", "requeue", f"{job}_0")
    cluster.wait_until(lambda: states(sweep) == [RunState.FAILED])
    assert "run 0 failed: the image is gone" in command("status", str(sweep.path)).stdout


def test_a_run_that_was_cut_off_with_its_node_ends_before_its_successor_begins(dev_cluster, submit):
    cluster = dev_cluster("--cpus=1", "--grace=60")
    sweep, _ = submit("training.num_train_steps=100000000", "hydra.launcher.wait=false")
    cluster.wait_until(lambda: events(sweep, "first_step"))
    first, node = events(sweep, "start")[0], read_status(sweep).runs[0].node
    os.kill(cluster.pid(node), signal.SIGKILL)
    cluster.slurm("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")
    try:
        assert is_alive(first.pid)
        cluster.wait_until(lambda: len(events(sweep, "start")) == 2)
        assert not is_alive(first.pid)
        writers = [event.pid for event in read_ledger(sweep.path / "0/run.jsonl")]
        assert writers == sorted(writers, key=lambda pid: pid != first.pid)
        assert not events(sweep, "failed")
    finally:
        cluster.up()


def test_one_bad_run_of_twelve_and_nothing_is_submitted(dev_cluster, submit):
    cluster = dev_cluster(*REQUEUES)
    before = cluster.slurm("squeue", "--noheader", "--states=all", "--format=%i")
    rates = "training.optimizer.instance.learning_rate=" + ",".join(f"0.{i}" for i in range(1, 12)) + ",-1"
    sweep, done = submit(rates, "training.num_train_steps=0")
    assert done.returncode == 2
    assert "`training.optimizer.instance.learning_rate`: " in done.stderr
    assert "`training.num_train_steps`: " in done.stderr
    assert cluster.slurm("squeue", "--noheader", "--states=all", "--format=%i") == before
    assert not sweep.path.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [("size=60k", "No space left on device; nothing was started"), ("size=1m,ro", "Read-only file system")],
    ids=["full", "read-only"],
)
def test_a_disk_that_takes_no_sweep(dev_cluster, tmp_path, options, says):
    cluster = dev_cluster(*REQUEUES)
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], capture_output=True).returncode != 0:
        pytest.skip("a small disk cannot be mounted here: that takes root")
    try:
        done = program(tmp_path, "hydra.sweep.dir=disk/sweep", "seed=range(0, 40)", *TINY)
    finally:
        subprocess.run(["umount", disk], check=True)
    assert done.returncode in (1, 2)
    last = done.stderr.splitlines()[-1]
    assert f"{disk}/sweep cannot be written: {says}" in last
    assert "Traceback" not in done.stderr
    assert cluster.slurm("squeue", "--noheader") == ""


def test_of_two_submissions_into_one_folder_one_counts(dev_cluster, tmp_path):
    cluster = dev_cluster(*REQUEUES)
    arguments = ("hydra.sweep.dir=sweep", "seed=0,1", "training.num_train_steps=20", "hydra.launcher.wait=false", *TINY)
    with ThreadPoolExecutor() as both:
        ends = list(both.map(lambda _: program(tmp_path, *arguments), range(2)))
    (submitted,) = [done for done in ends if "submitted 2 runs as job " in done.stdout]
    (other,) = [done for done in ends if done is not submitted]
    assert "is being submitted or executed by process" in other.stderr or "nothing to submit" in other.stdout
    sweep = SweepDirectory(tmp_path / "sweep")
    cluster.wait_until(lambda: states(sweep) == [RunState.COMPLETE] * 2)
    assert [len(events(sweep, "start", index)) for index in (0, 1)] == [1, 1]


def test_nothing_to_sweep_over_is_a_sweep_of_one(dev_cluster, submit):
    dev_cluster(*REQUEUES)
    sweep, done = submit("training.num_train_steps=20", "hydra.launcher.name='a \"q\" $HOME\nü'")
    assert done.returncode == 0, done.stderr
    assert states(sweep) == [RunState.COMPLETE]


def test_ctrl_c_leaves_the_jobs_alone_and_says_how_to_follow_them(dev_cluster, tmp_path):
    cluster = dev_cluster(*REQUEUES)
    sweep = SweepDirectory(tmp_path / "sweep")
    arguments = (f"hydra.sweep.dir={sweep.path}", "seed=0,1", "training.num_train_steps=30000", *TINY)
    with on_terminal(words(*arguments), columns=80) as terminal:
        terminal.read_until("2 running")
        terminal.type("\x03")
        assert terminal.read_to_end() == 0
    again = f"the runs keep running; to watch them again: simplexity status {sweep.path} --watch\n"
    assert terminal.plain.endswith(again)
    cluster.wait_until(lambda: states(sweep) == [RunState.COMPLETE] * 2)
    assert [len(events(sweep, "start", index)) for index in (0, 1)] == [1, 1]


def test_a_search_waits_for_its_losses(dev_cluster, submit):
    dev_cluster(*REQUEUES)
    search = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2")
    sweep, done = submit("training.num_train_steps=20", "seed=int(interval(1, 9))", *search)
    assert done.returncode == 0, done.stderr
    assert states(sweep) == [RunState.COMPLETE] * 2
    assert "best_loss: " in (sweep.path / "optimization_results.yaml").read_text()


@pytest.mark.parametrize(
    ("option", "state"),
    [("--cpus=2", RunState.MISSING), ("--accounting", RunState.CANCELLED)],
    ids=["without-accounting", "with-accounting"],
)
def test_what_slurm_has_forgotten(dev_cluster, submit, option, state):
    cluster = dev_cluster("--nodes=1", option)
    with open(cluster.folder / "slurm.conf", "a") as configuration:
        configuration.write("MinJobAge=2\n")
    cluster.slurm("scontrol", "reconfigure")
    sweep, done = submit("training.num_train_steps=20", "hydra.launcher.wait=false", "+cluster.sbatch_options.hold=''")
    assert states(sweep) == [RunState.PENDING]
    cluster.slurm("scancel", *re.findall("as job ([0-9]+), ", done.stdout))
    cluster.wait_until(lambda: states(sweep) == [state])


def test_what_was_cancelled_stays_so_until_it_is_retried(dev_cluster, submit):
    cluster = dev_cluster(*REQUEUES)
    sweep, _ = submit("training.num_train_steps=10000000", "seed=0,1", "hydra.launcher.wait=false")
    try:
        cluster.wait_until(lambda: (sweep.path / "0/metrics.jsonl").exists())
        again = submit("training.num_train_steps=10000000", "seed=0,1", "hydra.launcher.wait=false")[1]
        assert "nothing to submit" in again.stdout
        assert command("cancel", str(sweep.path)).returncode == 0
        cluster.wait_until(lambda: set(states(sweep)) == {RunState.CANCELLED})
        other = submit("training.num_train_steps=10000000", "seed=0,7", "hydra.launcher.wait=false")[1]
        assert other.returncode == 2
        assert "it has a run 1 with another config" in other.stderr
        assert command("retry", str(sweep.path)).returncode == 0
        cluster.wait_until(lambda: RunState.RUNNING in states(sweep))
    finally:
        cancel([line.split("_")[0] for line in cluster.slurm("squeue", "--noheader", "--format=%i").splitlines()])
