"""How one machine is divided among the runs of a sweep."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from simplexity.cluster import gpu_memory_share
from simplexity.host import jax_has_cuda, num_usable_cores

from ._launch_settings import LocalLaunch

_DEVICE = re.compile(r"nvidia\d+")


class Slot(NamedTuple):
    """Room for one run at a time.

    Attributes:
        cores: Cores that it is pinned to; empty where processes cannot be pinned.
        environment: Variables that give it its GPU.
    """

    cores: tuple[int, ...]
    environment: Mapping[str, str]


def divide_machine(launch: LocalLaunch, num_runs: int) -> list[Slot]:
    """The slots for a sweep: no more than runs, each with cores of its own while there are enough.

    Runs that share cores spend more time waiting for each other's threads than computing: a run takes every core
    that it may use, if its steps are worth it.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    num_cores = num_usable_cores()
    gpus = visible_gpus(os.environ)
    num_slots = launch.max_parallel or len(gpus) or max(1, num_cores // (launch.cores_per_run or 1))
    num_slots = min(num_slots, num_runs)
    each = launch.cores_per_run or (max(1, num_cores // num_slots) if launch.max_parallel or gpus else 1)
    per_gpu = -(-num_slots // len(gpus)) if gpus else 0
    return [
        Slot(
            tuple(sorted({cores[(slot * each + i) % num_cores] for i in range(each)})) if cores else (),
            {"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)], **gpu_memory_share(per_gpu)} if gpus else {},
        )
        for slot in range(num_slots)
    ]


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The NVIDIA GPUs that JAX would use here, by the names that CUDA_VISIBLE_DEVICES knows. Imports no JAX."""
    platforms = environment.get("JAX_PLATFORMS", "cuda")
    if not jax_has_cuda():
        return []
    if not any(platform in ("cuda", "gpu") for platform in platforms.split(",")):
        return []
    if (chosen := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in chosen.split(",") if name.strip() and name.strip() != "-1"]
    devices = sorted(int(name[6:]) for name in os.listdir("/dev") if _DEVICE.fullmatch(name))
    # CUDA counts the devices that it sees from 0, whatever their names here.
    return [str(number) for number in range(len(devices))]
