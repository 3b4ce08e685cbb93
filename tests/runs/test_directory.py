import json
import os
import subprocess
import sys
import time

import pytest

from simplexity.runs import ExitCode, RunDirectory


def test_every_file_has_its_place(tmp_path):
    run = RunDirectory.create(tmp_path / "outputs" / "run ä")
    assert run.path.is_dir()
    assert list(run.path.iterdir()) == []
    names = [
        getattr(run, f"{name}_path").relative_to(run.path).name
        for name in ["config", "ledger", "metrics", "checkpoints", "figures", "environment", "complete", "lock"]
    ]
    assert names == [
        "config.yaml",
        "run.jsonl",
        "metrics.jsonl",
        "checkpoints",
        "figures",
        "environment.json",
        "COMPLETE",
        "lock",
    ]


def test_a_relative_path_stays_put_when_the_program_moves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = RunDirectory.create(type(tmp_path)("here"))
    monkeypatch.chdir("/")
    assert run.path == tmp_path / "here"


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        RuntimeError, match=r"^the run directory .*file/run cannot be written: Not a directory; choose another folder$"
    ):
        RunDirectory.create(tmp_path / "file" / "run")


def test_a_directory_without_room_is_refused(tmp_path):
    program = """
import pathlib, resource, sys
from simplexity.runs import RunDirectory
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    RunDirectory.create(pathlib.Path(sys.argv[1]))
except RuntimeError as error:
    print(error)
"""
    path = tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=20)
    assert done.stdout == (f"the run directory {path} cannot be written: File too large; choose another folder\n")
    assert os.listdir(path) == []


def test_completion_is_read_back_and_taken_back(tmp_path):
    run = RunDirectory.create(tmp_path)
    assert run.read_completion() is None
    before = time.time()
    completion = run.mark_complete(1000, 0.51, 0.5, 0.01, optimum_error_nats=1e-5)
    assert completion[:4] == (1000, 0.51, 0.5, 0.01)
    assert before - 1 <= completion.time <= time.time() + 1
    assert run.read_completion() == completion
    assert json.loads(run.complete_path.read_text())["loss_nats"] == 0.51
    assert run.mark_complete(2000, 0.505) == run.read_completion()
    run.unmark_complete()
    assert run.read_completion() is None
    run.unmark_complete()


def test_a_completion_without_the_optimum_s_error_is_of_an_earlier_version(tmp_path):
    run = RunDirectory.create(tmp_path)
    run.complete_path.write_text('{"step": 5, "loss_nats": 0.6, "optimum_nats": 0.5, "excess_nats": 0.1, "time": 7.0}')
    completion = run.read_completion()
    assert completion is not None
    assert completion.optimum_error_nats is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"step": 3}', "17"])
def test_a_foreign_completion_is_refused(tmp_path, content):
    run = RunDirectory.create(tmp_path)
    run.complete_path.write_text(content)
    with pytest.raises(RuntimeError, match="COMPLETE was not written by a run; remove it"):
        run.read_completion()


def test_exit_codes_are_the_documented_ones():
    assert {code.name: int(code) for code in ExitCode} == {"COMPLETE": 0, "FAILED": 1, "BAD_CONFIG": 2, "REQUEUE": 85}


def test_the_package_needs_nothing_heavy():
    program = "import sys, simplexity.runs, simplexity.cluster; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    heavy = {"jax", "numpy", "hydra", "omegaconf", "rich", "submitit", "equinox"}
    assert heavy.isdisjoint(done.stdout.split())


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "run.jsonl", "lock", "checkpoints", "config.yaml", "a.log", ".hydra", ".hydra/hydra.yaml"]
)
def test_a_symbolic_link_in_the_place_of_a_file_is_refused(tmp_path, name):
    target = tmp_path / "diary"
    target.write_text("my diary")
    (tmp_path / "run" / name).parent.mkdir(parents=True)
    (tmp_path / "run" / name).symlink_to(target)
    with pytest.raises(RuntimeError, match=rf"/run/{name} is a symbolic link, .*: remove it, or put the whole run"):
        RunDirectory.create(tmp_path / "run")
    assert target.read_text() == "my diary"
