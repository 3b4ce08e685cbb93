"""What a cluster makes of a submission: its partition, its arrays, and what it remembers of ended jobs."""

from collections.abc import Iterator

from simplexity.cluster import ClusterProfile, SlurmAnswers, parse_duration, refused_keys

from ._check_result import Finding, ok, problem


def partition_names(answers: SlurmAnswers, profile: ClusterProfile) -> list[str]:
    """The partitions in which a job of the profile may run, those included that the cluster does not have."""
    if profile.partition is not None:
        return profile.partition.split(",")
    return [name for name, entry in answers.partitions.items() if entry.get("Default") == "YES"]


def partition_findings(answers: SlurmAnswers, profile: ClusterProfile) -> Iterator[Finding]:
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


def _partition(answers: SlurmAnswers, profile: ClusterProfile, name: str) -> Finding:
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
    if wants_gpu(profile) and not any("gpu" in node.gres for node in nodes):
        return problem(
            "partition", f"{found}, no GPUs", "The profile asks for GPUs, and no node here has one.",
            "choose another `partition`, or set `gpus_per_node` and `gres` to null",
        )  # fmt: skip
    gpus = sorted({node.gres for node in up if "gpu" in node.gres})
    return ok("partition", ", ".join([found, *gpus]), "Jobs of the profile may run here.")


def wants_gpu(profile: ClusterProfile) -> bool:
    """Whether a job of the profile asks for GPUs."""
    return profile.gpus_per_node is not None or (profile.gres or "").startswith("gpu")


def array_finding(answers: SlurmAnswers) -> Finding:
    """How many runs fit into an array job."""
    size = answers.number("MaxArraySize", 1001)
    found = f"MaxArraySize={size}, MaxJobCount={answers.number('MaxJobCount', 10000)}"
    if size < 2:
        return problem(
            "arrays", found, "This cluster takes no array jobs, which is what a sweep becomes.",
            "ask the site for a larger MaxArraySize; until then: sbatch slurm/run.sh for each run",
        )  # fmt: skip
    return ok("arrays", found, f"Up to {size:,} runs are one array job; a larger sweep becomes several.")


def accounting_finding(answers: SlurmAnswers) -> Finding:
    """What SLURM still knows of a job that has ended."""
    kind = answers.configuration.get("AccountingStorageType", "")
    found = f"AccountingStorageType={kind.removeprefix('accounting_storage/') or 'none'}"
    if kind.endswith("/slurmdbd"):
        return ok("accounting", found, "sacct tells how a job ended that left no word in its run's folder.")
    age_s = answers.number("MinJobAge", 300)
    return ok(
        "accounting", f"{found}, MinJobAge={age_s} s",
        f"SLURM forgets a job {age_s} s after its end. `simplexity status` goes by the runs' files and needs no more.",
    )  # fmt: skip


def refusal_finding(message: str, profile: ClusterProfile) -> Finding:
    """What SLURM said when it was asked whether it would take a job of the profile."""
    return problem(
        "request", message, "Nothing of this profile would be submitted.",
        refused_keys(message, profile)
        or "correct what it names in the profile: partition, account, qos, gres, gpus_per_node, memory, constraint",
    )  # fmt: skip
