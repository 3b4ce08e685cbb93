"""Answers of SLURM that a real one does not give on request; tests/slurm uses the calls on a real one."""

import subprocess
from pathlib import Path

import pytest

from simplexity.cluster import (
    SlurmError,
    accounted_tasks,
    cancel,
    cluster_configuration,
    queued_tasks,
    slurm_is_installed,
    submit,
)
from simplexity.cluster._slurm import AccountedTask, QueuedTask, submission_environment


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """Puts programs that print a fixed answer in front of PATH, which record their arguments."""

    def put(name: str, stdout: str = "", stderr: str = "", code: int = 0) -> Path:
        for suffix, content in (("out", stdout), ("err", stderr)):
            (tmp_path / f"{name}.{suffix}").write_text(content)
        program = tmp_path / name
        program.write_text(
            f"#!/bin/sh\nprintf '%s\\n' \"$@\" >{program}.args\ncat {program}.out\ncat {program}.err >&2\nexit {code}\n"
        )
        program.chmod(0o755)
        return tmp_path / f"{name}.args"

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return put


def test_submit_returns_the_id_without_the_cluster(answers):
    arguments = answers("sbatch", "123;cluster\n")
    assert submit(Path("a b.sh"), ["--array=3"]) == "123"
    assert arguments.read_text().splitlines() == ["--parsable", "--array=3", "a b.sh"]


def test_a_refusal_is_one_line(answers):
    answers(
        "sbatch", stderr="sbatch: error: invalid partition: x\nsbatch: error: Batch job submission failed\n", code=1
    )
    with pytest.raises(SlurmError) as caught:
        submit(Path("x.sh"))
    assert str(caught.value) == (
        "`sbatch` failed: sbatch: error: invalid partition: x sbatch: error: Batch job submission failed"
    )


def test_queued_tasks(answers):
    answers(
        "squeue",
        "7_0|RUNNING|n1|1-02:03:04|None\n7_1|PENDING||10:00|Nodes required|and so on\n8|RUNNING|n2|UNLIMITED|None\n",
    )
    assert queued_tasks(["7", "8"]) == {
        "7_0": QueuedTask("RUNNING", "None", "n1", 93784),
        "7_1": QueuedTask("PENDING", "Nodes required|and so on", "", 600),
        "8": QueuedTask("RUNNING", "None", "n2", None),
    }


def test_forgotten_jobs_are_no_error_but_silence_is(answers):
    answers("squeue", stderr="slurm_load_jobs error: Invalid job id specified", code=1)
    assert queued_tasks(["7"]) == {}
    answers("squeue", stderr="Unable to contact slurm controller", code=1)
    with pytest.raises(SlurmError, match="Unable to contact"):
        queued_tasks(["7"])


def test_accounted_tasks(answers):
    answers("sacct", "7_0|CANCELLED by 1000|0:15|n1\n7_1|FAILED|2:0|n2\n7_[2-9]|PENDING|0:0|None assigned\n")
    assert accounted_tasks(["7"]) == {
        "7_0": AccountedTask("CANCELLED", 0, "n1"),
        "7_1": AccountedTask("FAILED", 2, "n2"),
    }


def test_nothing_is_asked_of_nobody(answers):
    recorded = [answers(name) for name in ("squeue", "sacct", "scancel")]
    assert queued_tasks([]) == accounted_tasks([]) == {}
    cancel([])
    assert not any(file.exists() for file in recorded)


def test_configuration(answers):
    answers(
        "scontrol", "Configuration data as of now\nMaxArraySize            = 1001\nAuthInfo = socket=/x,cred_expire=5\n"
    )
    assert cluster_configuration() == {"MaxArraySize": "1001", "AuthInfo": "socket=/x,cred_expire=5"}


def test_without_slurm_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not slurm_is_installed()
    with pytest.raises(SlurmError, match="there is no `scancel` here"):
        cancel(["7"])


def test_a_controller_that_hangs_is_given_up(monkeypatch):
    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(SlurmError, match="`squeue` did not answer within 60 s"):
        queued_tasks(["7"])


def test_only_what_says_which_cluster_survives():
    variables = {
        "PATH": "/bin", "HOME": "/root", "SLURM_CONF": "/c/slurm.conf", "SLURM_JWT": "token",
        "SLURM_JOB_ID": "7", "SLURM_TIME_FORMAT": "relative", "SBATCH_PARTITION": "high", "SQUEUE_STATES": "all",
        "SACCT_FORMAT": "jobid", "SCANCEL_INTERACTIVE": "1",
    }  # fmt: skip
    assert set(submission_environment(variables)) == {"PATH", "HOME", "SLURM_CONF", "SLURM_JWT"}


def test_it_is_this_process_s_environment_by_default(monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("KEPT", "yes")
    environment = submission_environment()
    assert environment["KEPT"] == "yes"
    assert "SLURM_ARRAY_TASK_ID" not in environment
