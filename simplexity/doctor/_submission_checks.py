"""Whether SLURM takes a submission: does it answer, would it start the job, in which partition, in how large arrays."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from simplexity.cluster import (
    DEFAULT_MAX_ARRAY_SIZE,
    ClusterProfile,
    SlurmAnswers,
    SlurmError,
    parse_duration,
    refused_keys,
    slurm_is_installed,
    try_submission,
)
from simplexity.sweeps import Manifest, SweepDirectory, duration, plan_arrays

from ._check_result import CheckResult, ok, problem

_WITHOUT_SLURM = "hydra.launcher.dry_run=true, or hydra/launcher=local"


def slurm_is_missing(error: SlurmError) -> CheckResult:
    """Why SLURM did not answer, and how to work without it."""
    if not slurm_is_installed():
        return problem(
            "SLURM", "there is no `sbatch` here", "No job can be submitted from this machine.",
            "log in where SLURM's programs are; try it out on a throwaway cluster (slurm/dev-cluster up); see the "
            "batch script with hydra.launcher.dry_run=true; or run sweeps here with hydra/launcher=local",
        )  # fmt: skip
    if "configuration source" in str(error):
        return problem(
            "SLURM", "its programs are here, but there is no slurm.conf", "No cluster is known to submit to.",
            'set SLURM_CONF, or start a throwaway cluster: eval "$(slurm/dev-cluster up)"; without one: '
            f"{_WITHOUT_SLURM}",
        )  # fmt: skip
    return problem(
        "SLURM", str(error),
        "Nothing can be submitted. Running jobs continue, and `simplexity status` reads their files.",
        "ask `scontrol ping`, and see that SLURM_CONF is right; to work without it: slurm/dev-cluster up, "
        f"{_WITHOUT_SLURM}",
    )  # fmt: skip


def check_request(sweep: SweepDirectory, manifest: Manifest, profile: ClusterProfile) -> CheckResult:
    """Whether SLURM would take a job of the profile as it is, and when the job would start.

    Args:
        sweep: The sweep that the job would be of; nothing is written there.
        manifest: Its manifest, with one run and the profile.
        profile: The cluster's profile.
    """
    (job,) = plan_arrays(sweep, manifest, [0])
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "request.sh"
        script.write_text(job.script, encoding="utf-8")
        try:
            answer = try_submission(script)
        except SlurmError as error:
            return refused_submission(str(error), refused_keys(str(error), profile))
    return ok("request", f"sbatch would take a job of this profile{_start(answer)}", "The resources exist.")


def refused_submission(message: str, change: str = "") -> CheckResult:
    """What to do where SLURM refuses a job of the profile.

    Args:
        message: SLURM's words.
        change: Which keys of the profile to change; empty if that is not known, or if the message says it.
    """
    keys = "partition, account, qos, gres, gpus_per_node, memory, constraint"
    return problem(
        "request", message, "Nothing of this profile would be submitted.",
        change or f"correct what it names in the profile: {keys}",
    )  # fmt: skip


def _start(answer: str) -> str:
    """When a job would start, from sbatch's "Job 3 to start at 2026-11-24T22:20:29 using 1 processors..."."""
    found = re.search(r" to start at (\S+) ", answer)
    if found is None:
        return ""
    with suppress(ValueError):
        wait_s = (datetime.fromisoformat(found[1]) - datetime.now()).total_seconds()
        return ", and start it now" if wait_s < 60 else f", and start it in about {duration(wait_s)}"
    return ""


def partition_names(answers: SlurmAnswers, profile: ClusterProfile) -> list[str]:
    """The partitions in which a job of the profile may run, those included that the cluster does not have."""
    if profile.partition is not None:
        return profile.partition.split(",")
    return [name for name, entry in answers.partitions.items() if entry.get("Default") == "YES"]


def check_partitions(answers: SlurmAnswers, profile: ClusterProfile) -> Iterator[CheckResult]:
    """Whether the profile's partitions can take its jobs."""
    names = partition_names(answers, profile)
    if not names:
        yield problem(
            "partition", "the profile names none, and the cluster has no default", "sbatch would refuse.",
            f"set `partition` to one of {', '.join(answers.partitions)}",
        )  # fmt: skip
    for name in names:
        if name in answers.partitions:
            yield _partition(answers, profile, name)
        else:
            yield problem(
                "partition", f"the cluster has no `{name}`", "sbatch would refuse.",
                f"set `partition` to one of {', '.join(answers.partitions)}",
            )  # fmt: skip


def _partition(answers: SlurmAnswers, profile: ClusterProfile, name: str) -> CheckResult:
    entry = answers.partitions[name]
    nodes = [node for node in answers.nodes if node.partition == name]
    up = [node for node in nodes if node.is_up]
    limit = entry.get("MaxTime", "UNLIMITED")
    found = f"`{name}`: {len(up)} of {len(nodes)} nodes up, MaxTime={limit}"
    if entry.get("State", "UP") != "UP" or not up:
        state = entry.get("State", "UP")
        return problem(
            "partition", f"{found}, State={state}", "Jobs wait until the site brings it up.",
            "choose another `partition`",
        )  # fmt: skip
    limit_s = parse_duration(limit)
    if limit_s is not None and 60 * profile.time_limit_minutes > limit_s:
        return problem(
            "partition", found,
            f"A job of {profile.time_limit_minutes} min never starts here.",
            f"set `time_limit_minutes` to {limit_s // 60} or less; a run that needs longer is requeued",
        )  # fmt: skip
    if profile.wants_gpu and not any("gpu" in node.gres for node in nodes):
        return problem(
            "partition", f"{found}, no GPUs", "The profile asks for GPUs, and no node here has one.",
            "choose another `partition`, or set `gpus_per_node` and `gres` to null",
        )  # fmt: skip
    gpus = sorted({node.gres for node in up if "gpu" in node.gres})
    return ok("partition", ", ".join([found, *gpus]), "Jobs of the profile may run here.")


def check_arrays(answers: SlurmAnswers) -> CheckResult:
    """How many runs fit into an array job."""
    size = answers.number("MaxArraySize", DEFAULT_MAX_ARRAY_SIZE)
    found = f"MaxArraySize={size}, MaxJobCount={answers.number('MaxJobCount', 10000)}"
    if size < 2:
        return problem(
            "arrays", found, "This cluster takes no array jobs, which is what a sweep becomes.",
            "ask the site for a larger MaxArraySize; until then: sbatch slurm/run.sh for each run",
        )  # fmt: skip
    return ok("arrays", found, f"Up to {size:,} runs are one array job; a larger sweep becomes several.")


def check_accounting(answers: SlurmAnswers) -> CheckResult:
    """What SLURM still knows of a job that has ended."""
    kind = answers.configuration.get("AccountingStorageType", "")
    found = f"AccountingStorageType={kind.removeprefix('accounting_storage/') or 'none'}"
    if kind.endswith("/slurmdbd"):
        return ok("accounting", found, "sacct tells how a job ended that ended unexpectedly.")
    age_s = answers.number("MinJobAge", 300)
    return ok(
        "accounting", f"{found}, MinJobAge={age_s} s",
        f"SLURM forgets a job {age_s} s after its end. `simplexity status` goes by the runs' files and needs no more.",
    )  # fmt: skip
