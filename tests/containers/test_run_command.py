"""What containers/run.sh makes of an image in a store. No daemon runs here: docker and podman are stand-ins."""

import itertools
import os
import subprocess
from pathlib import Path

import pytest

from simplexity import __version__

RUN = Path(__file__).resolve().parents[2] / "containers/run.sh"
GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}


@pytest.fixture
def run(tmp_path: Path):
    """Program, its image's version -> what `containers/run.sh simplexity:1 ARGUMENTS` executes, or refuses."""

    def start(program: str, *arguments: str, version: str = __version__, **environment: str):
        answers = f"""case "$*" in
        *Architecture*) echo {GO_NAMES[os.uname().machine]} ;;
        *image.version*) echo {version} ;;
        *image.revision*) echo 0123456789ab ;;
        'image inspect simplexity:1') ;;
        *) printf '%s\\0' "$@"; exit 85 ;;
        esac"""
        (tmp_path / program).write_text(f"#!/bin/bash\n{answers}\n")
        (tmp_path / program).chmod(0o755)
        own = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), **environment}
        command = [str(RUN), "simplexity:1", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=60)

    return start


@pytest.mark.parametrize("program", ["docker", "podman"])
def test_user_folders_variables_and_exit_code(run, tmp_path, program):
    done = run(program, "seed=1 2", "--multirun", SLURM_JOB_ID="7", SIMPLEXITY_CACHE=f"{tmp_path}/c")
    words = done.stdout.split("\0")[:-1]
    assert done.returncode == 85
    assert words[0] == "run"
    assert words[-3:] == ["simplexity:1", "seed=1 2", "--multirun"]
    pairs = list(itertools.pairwise(words))
    for pair in (
        ("--user", f"{os.getuid()}:{os.getgid()}"),
        ("--volume", f"{tmp_path}:{tmp_path}"),
        ("--volume", f"{tmp_path}/c:{tmp_path}/c"),
        ("--workdir", str(tmp_path)),
        ("--env", "SLURM_JOB_ID"),
        ("--env", "SIMPLEXITY_CACHE"),
    ):
        assert pair in pairs
    # A program with process id 1 would not get the signals of a preemption.
    assert "--init" in words


def test_another_version_is_refused(run):
    done = run("docker", version="99.0")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "has simplexity 99.0 and this checkout is" in done.stderr
