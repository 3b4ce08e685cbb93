"""`simplexity doctor` on a real SLURM, with a test job that trains."""

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slurm

REQUEUES = ("--preempt-mode=requeue",)
DOCTOR = [sys.executable, "-P", "-m", "simplexity.cli", "doctor", "cluster=dev"]
# A model that compiles in no time.
TINY = (
    "training.batch_size=4",
    "training.sequence_len=8",
    "training.log_every=5",
    "predictive_model.instance.hidden_size=4",
    "predictive_model.instance.num_layers=1",
)


@pytest.fixture
def doctor(tmp_path):
    def run(*arguments: str, code: int = 0, **environment: str) -> dict[str, list[str]]:
        """The lines that it prints, by topic."""
        done = subprocess.run(
            [*DOCTOR, *arguments], cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True,
            timeout=500,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        lines: dict[str, list[str]] = {}
        for line in done.stdout.splitlines()[1:-1]:
            lines.setdefault(line.split(": ")[1], []).append(line)
        return lines

    return run


def wait_for_empty_queue(cluster) -> None:
    cluster.wait_until(lambda: cluster.slurm("squeue", "--noheader") == "", 120)


def test_all_is_well_and_no_files_are_left(dev_cluster, doctor, tmp_path):
    cluster = dev_cluster(*REQUEUES)
    lines = doctor(*TINY, "--wait", "8")
    assert {line.partition(": ")[0] for of_topic in lines.values() for line in of_topic} == {"ok"}
    assert list(lines) == [
        "SLURM", "partition", "request", "preemption", "notice", "requeue", "time limit", "node failure", "signals",
        "arrays", "accounting", "folder", "software", "test job", "devices", "stop", "save", "signal lead",
    ]  # fmt: skip
    assert "SIGUSR2 at once, SIGTERM after 20 s" in lines["notice"][0]
    assert "A node sees the folder, the software and the config, and trains" in lines["test job"][0]
    assert "cpu:0" in lines["devices"][0]
    assert "and was requeued" in lines["stop"][0]
    assert "the one measured stop took" in lines["signal lead"][0]
    wait_for_empty_queue(cluster)
    assert os.listdir(tmp_path) == []


def test_a_cluster_that_cancels_and_sends_no_signal(dev_cluster, doctor):
    dev_cluster("--preempt-mode=cancel", "--no-user-signal", "--nodes=2")
    lines = doctor("--no-job")
    assert "PreemptMode=CANCEL" in lines["preemption"][0]
    assert "SIGTERM at once" in lines["notice"][0]
    assert lines["signal lead"][0].startswith("advice: ")
    assert "test job" not in lines


def test_what_a_sweep_would_stumble_over_is_reported(dev_cluster, doctor, tmp_path):
    cluster = dev_cluster(*REQUEUES)
    failed = doctor("cluster.setup=['echo no module cuda >&2; exit 3']", code=1)["test job"][0]
    assert failed.startswith("problem: ")
    assert "no module cuda" in failed
    assert {path.name for path in tmp_path.glob("multirun/doctor-*/logs/*")} == {"0.log", "0.exit"}
    refused = doctor("cluster.memory=900G", code=1)
    assert "Requested node configuration is not available" in refused["request"][0]
    assert "test job" not in refused
    cuda = doctor(*TINY, "cluster.environment.JAX_PLATFORMS=cuda", code=1)["test job"][0]
    assert "JAX_PLATFORMS=cuda, which jax cannot use here" in cuda
    wait_for_empty_queue(cluster)


def test_a_test_job_that_does_not_begin_is_cancelled(dev_cluster, doctor):
    cluster = dev_cluster(*REQUEUES)
    wait_for_empty_queue(cluster)
    blocker = cluster.slurm("sbatch", "--parsable", "-phigh", "-N2", "--exclusive", "-o/dev/null", "--wrap=sleep 600")
    try:
        cluster.wait_until(lambda: cluster.slurm("squeue", "--noheader", "--format=%T") == "RUNNING", 120)
        lines = doctor("--wait", "0.1")
        assert lines["test job"][0].startswith("advice: ")
        assert "pending" in lines["test job"][0]
        assert "--wait 0.2" in lines["test job"][0]
        cluster.wait_until(lambda: cluster.slurm("squeue", "--noheader", "--format=%i") == blocker, 120)
    finally:
        cluster.slurm("scancel", blocker)


def begin(cluster, folder) -> subprocess.Popen:
    """A doctor whose test job is running, but does not train yet."""
    wait_for_empty_queue(cluster)
    command = [*DOCTOR, *TINY, "--wait", "8"]
    process = subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    cluster.wait_until(lambda: cluster.slurm("squeue", "--noheader", "--format=%T") == "RUNNING", 120)
    return process


def test_where_slurm_refuses_to_requeue_the_job_in_its_place_is_cancelled_too(dev_cluster, tmp_path):
    cluster = dev_cluster(*REQUEUES)
    process = begin(cluster, tmp_path)
    cluster.slurm("scontrol", "update", f"JobId={cluster.slurm('squeue', '--noheader', '--format=%i')}", "Requeue=0")
    printed, _ = process.communicate(timeout=500)
    assert process.returncode == 0, printed
    assert "and was submitted anew, because SLURM refuses to requeue it" in printed
    wait_for_empty_queue(cluster)
    assert os.listdir(tmp_path) == []


def test_ctrl_c_cancels_the_test_job(dev_cluster, tmp_path):
    cluster = dev_cluster(*REQUEUES)
    process = begin(cluster, tmp_path)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 1
    assert printed.splitlines()[-1] == "simplexity: interrupted; the test job was cancelled"
    wait_for_empty_queue(cluster)
    assert os.listdir(tmp_path) == []


def test_a_controller_that_does_not_answer(dev_cluster, doctor, tmp_path_factory):
    cluster = dev_cluster(*REQUEUES)
    elsewhere = tmp_path_factory.mktemp("conf") / "slurm.conf"
    lines = (cluster.folder / "slurm.conf").read_text().splitlines()
    text = "\n".join("SlurmctldPort=1" if line.startswith("SlurmctldPort=") else line for line in lines)
    elsewhere.write_text(f"{text}\nMessageTimeout=2\n")
    lines = doctor(code=1, SLURM_CONF=str(elsewhere))
    assert "Unable to contact slurm controller" in lines["SLURM"][0]
    assert list(lines) == ["SLURM", "folder", "software", "signal lead"]
