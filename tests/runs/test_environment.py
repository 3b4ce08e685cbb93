import json
import os
import platform
import subprocess
import sys
from importlib import metadata

import pytest

from simplexity.runs import _environment, environment_changes, environment_record, read_environments, record_environment


@pytest.fixture(autouse=True)
def asks_git_anew():
    """A process looks at its checkout once."""
    _environment._own_git_state.cache_clear()
    yield
    _environment._own_git_state.cache_clear()


def test_the_record_names_versions_host_and_command(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "71")
    record = environment_record(["NVIDIA H100"])
    assert json.loads(json.dumps(record)) == record
    assert record["host"] == os.uname().nodename
    assert record["python"] == platform.python_version()
    assert record["command"] == sys.argv
    assert record["devices"] == ["NVIDIA H100"]
    assert record["slurm"]["job_id"] == "71"


def test_versions_hold_dependencies_of_dependencies():
    versions = _environment._versions("equinox")
    assert {"equinox", "jax", "jaxlib", "ml-dtypes"} <= versions.keys()
    assert versions == {name: metadata.version(name) for name in versions}
    assert _environment._versions("no-such-distribution") == {}


def test_git_state_follows_the_checkout(tmp_path, monkeypatch):
    # As within a hook of another repository.
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], env=environment, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    assert _environment._git_state(tmp_path) is None
    git("init")
    assert _environment._git_state(tmp_path) is None
    (tmp_path / "file").write_text("one")
    git("add", ".")
    git("commit", "-m", "first")
    assert _environment._git_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "file").write_text("two")
    assert _environment._git_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": True}
    (tmp_path / "site-packages").mkdir()
    assert _environment._git_state(tmp_path / "site-packages") is None


def test_a_machine_without_git_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment_record()["git"] is None


def test_git_that_hangs_does_not_hold_up_the_run(tmp_path, monkeypatch):
    (tmp_path / "git").write_text("#!/bin/sh\nexec /bin/sleep 30\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_environment, "_GIT_TIMEOUT_S", 0.2)
    assert environment_record()["git"] is None


def test_what_changed_between_two_records_is_put_into_words():
    versions = {"equinox": "0.12", "jax": "0.10.0", "numpy": "2.0"}
    before = {"git": {"commit": "a" * 40}, "python": "3.11.7", "versions": versions}
    versions = {"equinox": "0.13", "jax": "0.11.2", "optax": "0.2"}
    after = {"git": None, "python": "3.11.7", "versions": versions}
    assert environment_changes(before, before) == []
    assert environment_changes(before, after) == [
        "commit aaaaaaaaa -> unknown", "jax 0.10.0 -> 0.11.2",
        "equinox 0.12 -> 0.13", "numpy 2.0 -> none", "optax none -> 0.2",
    ]  # fmt: skip


def test_every_attempt_adds_its_record(tmp_path):
    path = tmp_path / "environment.json"
    assert read_environments(path) == []
    for host in ("n1", "n2"):
        record_environment(path, {"host": host})
    assert json.loads(path.read_text()) == read_environments(path) == [{"host": "n1"}, {"host": "n2"}]


@pytest.mark.parametrize("content", ["", "{}", "[1", "[1]"])
def test_a_foreign_environment_file_is_named(tmp_path, content):
    path = tmp_path / "environment.json"
    path.write_text(content)
    with pytest.raises(RuntimeError, match="is not a list of environments, one per attempt; move it away"):
        record_environment(path, {})
    assert path.read_text() == content
