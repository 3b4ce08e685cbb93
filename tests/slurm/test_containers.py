"""Runs in a real Apptainer image on a real SLURM: preempted, requeued by the host, bitwise what they are without."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from simplexity.cluster import ArraySlice, Container, batch_script, container_command, inspect_container, submit
from simplexity.runs import EventKind, read_ledger
from simplexity.sweeps import RunState, SweepDirectory, read_status
from tests.slurm.conftest import PAYLOAD, lines_of, payload_profile
from tests.small_runs import assert_same_run, environment

pytestmark = [pytest.mark.slurm, pytest.mark.container, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
REQUEUES = ("--preempt-mode=requeue",)
SMALL = (
    "training.batch_size=4", "training.sequence_len=8", "training.log_every=500",
    "predictive_model.instance.hidden_size=4", "persistence.instance.save_every_minutes=null",
)  # fmt: skip
# A third of a minute on a core: neither of two may end before both have begun and were preempted twice.
LONG = ("training.num_train_steps=160000", *SMALL)
# No Python of any kind. A job inherits this path: it has what the batch scripts need as well.
BARE_HOST = (
    "apptainer", "unshare", "newuidmap", "newgidmap", "squashfuse", "squashfuse_ll", "fusermount3",
    "sbatch", "squeue", "scancel", "scontrol", "srun",
    "basename", "bash", "chmod", "cut", "date", "dd", "df", "dirname", "du", "git", "grep", "head", "id", "mkdir",
    "mkfifo", "mktemp", "mv", "od", "rm", "sed", "sh", "sha256sum", "sleep", "stat", "tail", "timeout", "tr", "uname",
)  # fmt: skip
APPTAINERS_OWN = ("HOME", "USER", "APPTAINER_BIND", "APPTAINER_TMPDIR")


@pytest.fixture
def on_bare_host(dev_cluster, sif, tmp_path, cache):
    """Starts slurm/sweep.sh in the folder of a study, on a host with bash, SLURM's client and Apptainer alone."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in BARE_HOST:
        if (found := shutil.which(name)) is not None:
            (programs / name).symlink_to(found)
    study = tmp_path / "a study"
    study.mkdir()

    def start(*arguments: str) -> subprocess.CompletedProcess:
        own = {"PATH": str(programs), "SIMPLEXITY_IMAGE": str(sif), "SIMPLEXITY_CACHE": str(cache)}
        kept = {name: os.environ[name] for name in (*APPTAINERS_OWN, "SLURM_CONF") if name in os.environ}
        command = [str(ROOT / "slurm/sweep.sh"), *arguments]
        return subprocess.run(command, cwd=study, env=kept | own, capture_output=True, text=True, timeout=300)

    start.study = study
    return start


def starts(sweep: SweepDirectory) -> list[int]:
    ledgers = [read_ledger(sweep.run_directory(run).ledger_path) for run in sweep.read_manifest().runs]
    return [sum(event.kind == EventKind.FIRST_STEP for event in ledger) for ledger in ledgers]


def test_a_sweep_from_a_bare_host_preempted_twice_is_bitwise_the_uninterrupted_one(
    dev_cluster, on_bare_host, sif, cache
):
    cluster = dev_cluster(*REQUEUES)
    words = ("train_model", "cluster=dev", "seed=0,1", "hydra.sweep.dir=it", *LONG)
    done = on_bare_host(*words, "hydra.launcher.wait=false")
    assert done.returncode == 0, done.stderr
    assert "submitted 2 runs as job " in done.stdout
    sweep = SweepDirectory(on_bare_host.study / "it")
    for times in (1, 2):
        cluster.wait_until(lambda count=times: min(starts(sweep)) >= count, 300)
        cluster.preempt_everything()
        cluster.wait_until(lambda count=times: min(run.restarts for run in read_status(sweep).runs) >= count, 300)
    cluster.wait_until(lambda: {run.state for run in read_status(sweep).runs} == {RunState.COMPLETE}, 600)
    status = on_bare_host("status", "it")
    assert "2 runs: 2 complete" in status.stdout, status.stderr
    assert [run.restarts for run in read_status(sweep).runs] == [2] * 2
    reference = on_bare_host.study / "uninterrupted"
    # In the same image, whose JAX need not be that of the host.
    command = [str(ROOT / "containers/run.sh"), str(sif), "train_model", "--multirun", "seed=0,1", *LONG]
    subprocess.run(
        [*command, f"hydra.sweep.dir='{reference}'"],
        cwd=on_bare_host.study,
        env=environment(cache),
        check=True,
        capture_output=True,
        timeout=400,
    )
    for run in sweep.read_manifest().runs:
        assert_same_run(sweep.path / run.directory, reference / run.directory)


def test_a_changed_image_is_refused_until_somebody_says_otherwise(dev_cluster, on_bare_host, sif, tmp_path):
    cluster = dev_cluster(*REQUEUES)
    copy = tmp_path / "copy.sif"
    copy.symlink_to(sif)
    container = f"+cluster.container={{image: {copy}, runtime: apptainer, binds: [], env: {{}}}}"
    words = ("train_model", "cluster=dev", "seed=0", "hydra.sweep.dir=it", "training.num_train_steps=40", *SMALL)
    cluster.slurm("scontrol", "update", "PartitionName=low", "State=DOWN")
    try:
        done = on_bare_host(*words, container, "hydra.launcher.wait=false")
        assert done.returncode == 0, done.stderr
        copy.unlink()
        shutil.copy(sif, copy)
        with open(copy, "ab") as rebuilt:
            rebuilt.write(bytes(4096))
    finally:
        cluster.slurm("scontrol", "update", "PartitionName=low", "State=UP")
    sweep = SweepDirectory(on_bare_host.study / "it")
    cluster.wait_until(lambda: read_status(sweep).runs[0].state == RunState.FAILED, 120)
    assert "is not the image that this sweep was submitted with" in lines_of(sweep.log_path(0))[-1]
    again = on_bare_host("retry", "it")
    assert again.returncode == 1
    assert "use the new one: simplexity retry SWEEP_DIR --changed-image" in again.stderr.splitlines()[-1]
    assert on_bare_host("retry", "it", "--changed-image").returncode == 0
    cluster.wait_until(lambda: read_status(sweep).runs[0].state == RunState.COMPLETE, 120)


@pytest.mark.parametrize("name", ["USR2", "TERM"])
def test_a_signal_reaches_python_through_srun_and_the_container_and_85_comes_back(dev_cluster, sif, tmp_path, name):
    cluster = dev_cluster(*REQUEUES)
    folder = tmp_path / "a 'sweep'"
    folder.mkdir()
    container = Container(image=str(sif), runtime="apptainer", binds=[str(PAYLOAD.parent)], env={"A": "b, $c"})
    profile = payload_profile(work={"steps": 60}, memory="500M", container=container)
    text = batch_script(
        job_name="payload",
        task_command=container_command(profile, ["python", str(PAYLOAD)], [folder]),
        sweep_folder=folder,
        script_path=folder / "array_0.sh",
        working_folder=folder,
        array=ArraySlice(0, (0,)),
        parallelism=None,
        profile=profile,
        image_digest=inspect_container(container).digest,
    )
    (folder / "array_0.sh").write_text(text)
    job = submit(folder / "array_0.sh")
    cluster.wait_until(lambda: len(lines_of(folder / "0/steps")) >= 3, 120)
    cluster.slurm("scancel", f"--signal={name}", f"{job}_0")
    cluster.wait_until(lambda: lines_of(folder / "0/ends"), 120)
    assert len(lines_of(folder / "0/told")) == 1
    assert [line.split()[1] for line in lines_of(folder / "0/starts")] == ["0", "1"]
    assert lines_of(folder / "0/steps") == [str(step) for step in range(60)]
    assert "requeued " in (folder / "logs/0.log").read_text()


def test_run_sh_in_a_container_is_preempted_and_completes(dev_cluster, sif, tmp_path, cache, monkeypatch):
    cluster = dev_cluster(*REQUEUES)
    checkout = tmp_path / "a checkout"
    shell = ("simplexity/cluster/requeue.sh", "simplexity/cluster/image.sh")
    for name in ("slurm/run.sh", "containers/run.sh", "simplexity/__init__.py", *shell):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("SIMPLEXITY_IMAGE", str(sif))
    monkeypatch.setenv("SIMPLEXITY_CACHE", str(cache))
    words = ("--parsable", "--mem=1G", "--cpus-per-task=1", "slurm/run.sh", "figures=false", *LONG)
    job = cluster.slurm("sbatch", *words)
    run = checkout / "outputs/slurm" / job
    cluster.wait_until(lambda: lines_of(run / "metrics.jsonl"), 120)
    cluster.preempt_everything()
    cluster.wait_until(lambda: (run / "COMPLETE").exists(), 600)
    kinds = [event.kind for event in read_ledger(run / "run.jsonl")]
    assert kinds.count(EventKind.PREEMPTED) == 1
    assert kinds.count(EventKind.RESUME) == 1
