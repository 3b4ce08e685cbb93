"""`slurm/dev-cluster` by itself: what it prints, what it refuses, and that nothing remains."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simplexity.cluster import accounted_tasks, ask_slurm, queued_tasks
from tests.slurm.guard import guarded
from tests.slurm.witness import wait_for_death

DEV_CLUSTER = Path(__file__).parents[2] / "slurm" / "dev-cluster"


def call(*arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [DEV_CLUSTER, *arguments], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )


def test_without_slurm_it_names_the_packages_and_writes_nothing(tmp_path):
    copy = shutil.copytree(DEV_CLUSTER.parent, tmp_path / "slurm")
    programs = copy / "dev_cluster" / "programs.py"
    programs.write_text(programs.read_text().replace("/usr/sbin:/usr/local/sbin:/sbin", str(tmp_path)))
    answer = subprocess.run(
        [sys.executable, copy / "dev-cluster", "up", tmp_path / "cluster"],
        capture_output=True, text=True, env={**os.environ, "PATH": str(tmp_path)},
    )  # fmt: skip
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == (
        "dev-cluster: the program `munged` is not installed; "
        "as root: apt-get install --no-install-recommends slurm-wlm munge\n"
    )
    assert not (tmp_path / "cluster").exists()


@pytest.mark.slurm
class TestWithSlurm:
    @pytest.fixture(autouse=True)
    def _needs_slurm(self, tmp_path):
        if shutil.which("sbatch") is None or shutil.which("munge") is None:
            pytest.skip("SLURM is not installed; `slurm/dev-cluster up` says how to install it")
        with guarded(tmp_path / "cluster"):
            yield

    def test_up_prints_exports_only_and_down_leaves_nothing(self, tmp_path, monkeypatch):
        folder = tmp_path / "cluster"
        first = call("up", folder, "--nodes=3", "--grace=7")
        try:
            assert first.returncode == 0, first.stderr
            assert first.stdout.splitlines() == [
                f"export SLURM_CONF={folder}/slurm.conf",
                "export SIMPLEXITY_CLUSTER=dev",
                f"export SIMPLEXITY_DEV_CLUSTER={folder}",
            ]
            assert call("status", folder).returncode == 0
            monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
            answers = ask_slurm()
            assert answers.partitions["low"]["GraceTime"] == "7"
            assert answers.partitions["low"]["TotalNodes"] == "3"
            assert "preempt_send_user_signal" in answers.configuration["SlurmctldParameters"]

            pids = [int(file.read_text().split()[0]) for file in (folder / "run").glob("*.pid")]
            os.kill(pids[0], signal.SIGKILL)
            wait_for_death(pids[0])
            assert call("status", folder).returncode == 3
            again = call("up", folder, "--nodes=3", "--grace=7")
            assert (again.returncode, again.stdout) == (0, first.stdout)
            other = call("up", folder, "--nodes=2", "--grace=7")
            assert (other.returncode, other.stdout) == (1, "")
            assert "nodes=3" in other.stderr

            subprocess.run(
                ["sbatch", "-o/dev/null", "--wrap=srun --mpi=none sleep 60"], check=True, capture_output=True
            )
            pids = [int(file.read_text().split()[0]) for file in (folder / "run").glob("*.pid")]
        finally:
            down = call("down", folder)
        assert (down.returncode, down.stdout) == (0, "")
        assert not folder.exists()
        for pid in pids:
            wait_for_death(pid)
        assert call("down", folder).returncode == 0
        assert call("status", folder).returncode == 3

    def test_it_does_not_touch_a_folder_of_something_else(self, tmp_path):
        (tmp_path / "precious").touch()
        up, down = call("up", tmp_path), call("down", tmp_path)
        assert up.returncode == 1
        assert f"{tmp_path} is not empty" in up.stderr
        assert down.returncode == 0
        assert (tmp_path / "precious").exists()

    def test_with_accounting_sacct_answers(self, tmp_path, monkeypatch):
        if shutil.which("slurmdbd") is None or shutil.which("mariadbd", path="/usr/sbin:/usr/bin") is None:
            pytest.skip("slurmdbd and mariadb-server are not installed")
        folder = tmp_path / "cluster"
        try:
            up = call("up", folder, "--accounting")
            assert up.returncode == 0, up.stderr
            monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
            command = ["sbatch", "--parsable", "--array=0-1", "-o/dev/null", "--wrap=exit $SLURM_ARRAY_TASK_ID"]
            job = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            deadline = time.monotonic() + 240
            while {task.state for task in accounted_tasks([job]).values()} != {"COMPLETED", "FAILED"}:
                assert time.monotonic() < deadline, queued_tasks([job])
                time.sleep(0.3)
            assert accounted_tasks([job])[f"{job}_1"].exit_code == 1
        finally:
            call("down", folder)
