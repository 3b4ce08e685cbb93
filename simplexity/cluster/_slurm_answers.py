"""What SLURM's commands print, as values: a cluster's description, and refusals. Nothing here calls SLURM."""

import re
from typing import NamedTuple

from ._profile import ClusterProfile

_DURATION = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")
_NOTHING = frozenset({"", "(null)", "N/A", "none", "NONE", "None"})
# Words of SLURM's refusals, by the profile's keys that they are about.
_REFUSED_BY = {
    "partition": ("partition",),
    "account": ("account",),
    "qos": ("qos",),
    "constraint": ("feature",),
    "gres": ("generic resource", "gres", "node configuration"),
    "gpus_per_node": ("generic resource", "gres", "node configuration"),
    "cpus_per_task": ("node configuration", "cpu count"),
    "memory": ("memory", "node configuration"),
    "nodes": ("node configuration", "node count"),
    "time_limit_minutes": ("time limit",),
}


class NodeEntry(NamedTuple):
    """A node, as one of the partitions that it is in.

    Attributes:
        name: Its name.
        partition: The partition.
        state: SLURM's word, such as idle, mixed, allocated, down or drained, with a mark such as * behind it.
        gres: Generic resources, such as "gpu:a100:4"; empty without any.
    """

    name: str
    partition: str
    state: str
    gres: str

    @property
    def is_up(self) -> bool:
        """Whether it takes jobs, now or once others have ended."""
        # Of the marks behind a state only * says that the node does not answer.
        return self.state.rstrip("~#+$@^-").lower() in ("idle", "mixed", "allocated", "completing", "planned")


class QualityOfService(NamedTuple):
    """What the accounting database says of a QOS.

    Attributes:
        preempts: Names of the QOS whose jobs its jobs preempt.
        mode: How its own jobs are preempted, such as requeue; "cluster" for as the cluster says.
        grace_time_s: Seconds between the notice and the end.
    """

    preempts: tuple[str, ...]
    mode: str
    grace_time_s: int


class SlurmAnswers(NamedTuple):
    """A cluster, as `scontrol`, `sinfo` and `sacctmgr` describe it.

    Attributes:
        configuration: By the names of slurm.conf.
        partitions: By name.
        nodes: An entry for each partition that a node is in.
        qos: By name; None where there is no accounting database, or it does not answer.
    """

    configuration: dict[str, str]
    partitions: dict[str, dict[str, str]]
    nodes: tuple[NodeEntry, ...]
    qos: dict[str, QualityOfService] | None

    @classmethod
    def parse(cls, configuration: str, partitions: str, nodes: str, qos: str | None) -> "SlurmAnswers":
        """Reads what the commands have printed.

        Args:
            configuration: By `scontrol show config`.
            partitions: By `scontrol --oneliner show partition`.
            nodes: By sinfo, in lines of "%N|%R|%T|%G".
            qos: By sacctmgr, in lines of "Name|Preempt|PreemptMode|GraceTime"; None where it does not answer.
        """
        return cls(
            parse_configuration(configuration),
            parse_partitions(partitions),
            parse_nodes(nodes),
            None if qos is None else parse_qos(qos),
        )

    def words(self, name: str) -> tuple[str, ...]:
        """A comma-separated setting; without any where the cluster has no such setting."""
        value = self.configuration.get(name, "")
        return () if value in _NOTHING else tuple(value.split(","))

    def number(self, name: str, default: int) -> int:
        """The number that a setting such as "30 sec" begins with."""
        return leading_number(self.configuration.get(name, ""), default)


def parse_configuration(text: str) -> dict[str, str]:
    """Reads `scontrol show config`."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, separator, value in pairs if separator}


def parse_partitions(text: str) -> dict[str, dict[str, str]]:
    """Reads `scontrol --oneliner show partition`, by name."""
    entries = (dict(pair.split("=", 1) for pair in line.split() if "=" in pair) for line in text.splitlines())
    return {entry["PartitionName"]: entry for entry in entries if "PartitionName" in entry}


def parse_nodes(text: str) -> tuple[NodeEntry, ...]:
    """Reads sinfo's lines of "%N|%R|%T|%G"."""
    entries = (NodeEntry(*line.strip().split("|", 3)) for line in text.splitlines() if line.count("|") >= 3)
    return tuple(entry._replace(gres="") if entry.gres in _NOTHING else entry for entry in entries)


def parse_qos(text: str) -> dict[str, QualityOfService]:
    """Reads sacctmgr's lines of "Name|Preempt|PreemptMode|GraceTime"."""
    qos = {}
    for line in text.splitlines():
        name, preempts, mode, grace = line.strip().split("|", 3)
        qos[name] = QualityOfService(
            tuple(other for other in preempts.split(",") if other), mode or "cluster", parse_duration(grace) or 0
        )
    return qos


def parse_duration(duration: str) -> int | None:
    """Reads SLURM's [DAYS-][HOURS:]MINUTES:SECONDS.

    Returns:
        Seconds; None for words such as UNLIMITED or INVALID.
    """
    found = _DURATION.fullmatch(duration)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def leading_number(text: str, default: int) -> int:
    """The whole number that a text such as "30 sec" begins with.

    Args:
        text: A value of `scontrol show config`.
        default: What to return for a text that begins otherwise.
    """
    found = re.match(r"\d+", text)
    return default if found is None else int(found.group())


def refused_keys(message: str, profile: ClusterProfile) -> str:
    """What to change in a profile that SLURM refuses: "change `cluster.partition`, which is low"; empty if unknown.

    Args:
        message: SLURM's words.
        profile: The profile.
    """
    said = message.lower()
    asked = {name: getattr(profile, name) for name in _REFUSED_BY}
    keys = [name for name, words in _REFUSED_BY.items() if any(word in said for word in words)]
    # Of the GPUs one of two keys asks.
    keys = [name for name in keys if asked[name] is not None or (name not in ("gres", "gpus_per_node"))]
    if not keys:
        return ""
    told = ", ".join(f"`cluster.{name}`={'null' if asked[name] is None else asked[name]}" for name in keys)
    without = ", null where the nodes have none," if {"gres", "gpus_per_node"} & set(keys) else ""
    return f"change {told}{without} or choose another profile with cluster=NAME"
