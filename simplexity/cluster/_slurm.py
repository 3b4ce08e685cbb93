"""SLURM's commands as typed calls: no shell, a time limit, and one line where they fail."""

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ._host_programs import call_host, has_program
from ._slurm_answers import SlurmAnswers, parse_configuration, parse_duration

_TIMEOUT_S = 60.0
_SEPARATOR = "|"
_SHOW_CONFIGURATION = ("scontrol", "show", "config")
_PREFIXES = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_")
_KEPT = frozenset({"SLURM_CONF", "SLURM_JWT"})  # which cluster, and who is asking


class SlurmError(RuntimeError):
    """SLURM is not here, does not answer, or refuses."""


class QueuedTask(NamedTuple):
    """What squeue knows of a job or array task that has not been forgotten.

    Attributes:
        state: SLURM's word, such as PENDING, RUNNING or COMPLETING.
        reason: Why it waits, such as Resources or BeginTime.
        nodes: Its nodes; empty while it waits.
        time_left_s: Seconds until its time limit; None if there is none.
    """

    state: str
    reason: str
    nodes: str
    time_left_s: int | None


class AccountedTask(NamedTuple):
    """What sacct knows of the last start of a job or array task.

    Attributes:
        state: SLURM's word, such as COMPLETED, FAILED, TIMEOUT or CANCELLED.
        exit_code: Exit code of the batch script.
        nodes: Its nodes.
    """

    state: str
    exit_code: int
    nodes: str


def slurm_is_installed() -> bool:
    """Whether there is an sbatch to call."""
    return has_program("sbatch")


def submit(script_path: Path, options: Sequence[str] = ()) -> str:
    """Submits a script and returns the job id.

    Args:
        script_path: The script.
        options: Options of sbatch that outrank those of the script.

    Raises:
        SlurmError: If SLURM refuses, in its own words.
    """
    answer = ask(["sbatch", "--parsable", *options, str(script_path)])
    return answer.strip().partition(";")[0]


def queued_tasks(job_ids: Iterable[str]) -> dict[str, QueuedTask]:
    """State of every task of these jobs that SLURM has not forgotten, by the id "JOB" or "JOB_TASK".

    SLURM forgets a job MinJobAge (300 s by default) after its end; the run directories know the rest.

    Raises:
        SlurmError: If SLURM does not answer.
    """
    jobs = ",".join(job_ids)
    if not jobs:
        return {}
    form = _SEPARATOR.join(["%i", "%T", "%N", "%L", "%r"])
    try:
        # --array: a line for every waiting task, and not "7_[0-99]".
        answer = ask(["squeue", "--noheader", "--array", "--states=all", f"--jobs={jobs}", f"--format={form}"])
    except SlurmError as error:
        if "Invalid job id" in str(error):  # the answer when it has forgotten all of them
            return {}
        raise
    tasks = {}
    for line in answer.splitlines():
        task_id, state, nodes, time_left, reason = line.strip().split(_SEPARATOR, 4)
        tasks[task_id] = QueuedTask(state, reason, nodes, parse_duration(time_left))
    return tasks


def accounted_tasks(job_ids: Iterable[str]) -> dict[str, AccountedTask]:
    """Last state of every task of these jobs, by the id "JOB" or "JOB_TASK", from the accounting database.

    Tasks that still wait together ("7_[0-99]") are left out: `queued_tasks` has them.

    Raises:
        SlurmError: If accounting is disabled or does not answer.
    """
    jobs = ",".join(job_ids)
    if not jobs:
        return {}
    answer = ask(
        ["sacct", "--noheader", "--allocations", "--parsable2", f"--delimiter={_SEPARATOR}", f"--jobs={jobs}",
         "--format=JobID,State,ExitCode,NodeList"]
    )  # fmt: skip
    tasks = {}
    for line in answer.splitlines():
        task_id, state, exit_code, nodes = line.split(_SEPARATOR, 3)
        if "[" not in task_id:
            # "CANCELLED by 1000", and "exit code:signal"
            tasks[task_id] = AccountedTask(state.split()[0], int(exit_code.partition(":")[0]), nodes)
    return tasks


def cancel(task_ids: Sequence[str]) -> None:
    """Cancels jobs or array tasks; those that have ended are left alone.

    Raises:
        SlurmError: If SLURM does not answer, or they are another user's.
    """
    if task_ids:
        ask(["scancel", "--quiet", *task_ids])


def cluster_configuration() -> dict[str, str]:
    """What `scontrol show config` says, such as {"MaxArraySize": "1001", "PreemptMode": "REQUEUE"}.

    Raises:
        SlurmError: If SLURM does not answer.
    """
    return parse_configuration(ask(_SHOW_CONFIGURATION))


def ask_slurm() -> SlurmAnswers:
    """Everything that SLURM's commands say of the cluster.

    Raises:
        SlurmError: If SLURM does not answer.
    """
    configuration = ask(_SHOW_CONFIGURATION)
    partitions = ask(["scontrol", "--oneliner", "show", "partition"])
    nodes = ask(["sinfo", "--noheader", "--Node", "--format=%N|%R|%T|%G"])
    qos = None
    if parse_configuration(configuration).get("AccountingStorageType", "").endswith("/slurmdbd"):
        form = "format=Name,Preempt,PreemptMode,GraceTime"
        with suppress(SlurmError):  # the database may be down while SLURM works
            qos = ask(["sacctmgr", "--noheader", "--parsable2", "show", "qos", form])
    return SlurmAnswers.parse(configuration, partitions, nodes, qos)


def try_submission(script_path: Path) -> str:
    """What SLURM would do with a script, in its own words: where and when it would start. Submits nothing.

    Raises:
        SlurmError: If SLURM would refuse, in its own words.
    """
    return " ".join(_run(["sbatch", "--test-only", str(script_path)]).stderr.split())


def send_signal(job_id: str, name: str) -> None:
    """Sends a signal to the steps of a job or array task, as SLURM does before its time limit.

    Args:
        job_id: As `17`, or `17_3` for one task of an array.
        name: The signal's, without SIG: `USR2`.

    Raises:
        SlurmError: If SLURM does not answer, or no step is running.
    """
    ask(["scancel", f"--signal={name}", job_id])


def submission_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables (by default this process's) with which to call sbatch, squeue, sacct, scancel and scontrol.

    A job's own SLURM_* and SBATCH_* variables are options to an sbatch inside it, and SBATCH_* outrank the #SBATCH
    lines of a script everywhere: what a sweep asks for stands in its profile alone. SQUEUE_* and the like change the
    format, or filter what is shown.
    """
    source = os.environ if variables is None else variables
    return {name: value for name, value in source.items() if name in _KEPT or not name.startswith(_PREFIXES)}


def ask(command: Sequence[str]) -> str:
    """What one of SLURM's commands prints.

    Raises:
        SlurmError: If it is not here, does not answer, or fails.
    """
    return _run(command).stdout


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        answer = call_host(command, environment=submission_environment(), timeout_s=_TIMEOUT_S)
    except FileNotFoundError:
        raise SlurmError(f"there is no `{command[0]}` here; run this where SLURM's programs are installed") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"`{command[0]}` did not answer within {_TIMEOUT_S:g} s") from None
    except ConnectionError as error:
        raise SlurmError(f"`{command[0]}` cannot be executed: {error}") from None
    if answer.returncode != 0:
        said = " ".join(answer.stderr.split()) or f"exit code {answer.returncode}"
        raise SlurmError(f"`{command[0]}` failed: {said}")
    return answer
