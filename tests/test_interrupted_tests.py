"""The test run itself: a failure is named when it happens, and Ctrl-C ends everything within seconds."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .slurm.guard import processes_of

ROOT = Path(__file__).parent.parent
TESTS = """
import time
from pathlib import Path

HERE = Path(__file__).parent

def test_that_fails():
    assert "this" == "that"

def test_that_waits():
    (HERE / "waits").touch()
    time.sleep(600)

def test_that_has_a_cluster(clusters):
    (HERE / "cluster").write_text(str(clusters("--nodes=1").folder))
    (HERE / "waits").touch()
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("last", ["test_that_waits", pytest.param("test_that_has_a_cluster", marks=pytest.mark.slurm)])
def test_failures_are_named_at_once_and_ctrl_c_leaves_nothing_behind(last, tmp_path):
    if last == "test_that_has_a_cluster" and not (shutil.which("sbatch") and shutil.which("munge")):
        pytest.skip("SLURM is not installed; `slurm/dev-cluster up` says how to install it")
    file, output = tmp_path / "test_of_tests.py", tmp_path / "output"
    file.write_text(TESTS)
    plugins = ("-p", "tests.conftest", "-p", "tests.slurm.conftest")
    options = ("-n", "1", "-q", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), f"--basetemp={tmp_path}/t")
    selected = [f"{file}::{name}" for name in ("test_that_fails", last)]
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with open(output, "w") as stream:
        run = subprocess.Popen(
            [sys.executable, "-m", "pytest", *plugins, *options, *selected],
            cwd=ROOT, env=outer, stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while not (tmp_path / "waits").exists():
            assert time.monotonic() < deadline, output.read_text()
            assert run.poll() is None, output.read_text()
            time.sleep(0.1)
        assert "FAILED" in output.read_text()
        assert "test_that_fails" in output.read_text()
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(10) == pytest.ExitCode.INTERRUPTED
        assert "assert 'this' == 'that'" in output.read_text()
        if last == "test_that_has_a_cluster":
            cluster = Path((tmp_path / "cluster").read_text())
            deadline = time.monotonic() + 5
            while processes_of(cluster):
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
