"""Which keys of a profile to change when SLURM refuses a submission."""

from ._profile import ClusterProfile

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
