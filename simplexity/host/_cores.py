"""How many of the machine's cores this process may use."""

import os
from pathlib import Path

# Of cgroups, version 2: microseconds of time per period, or "max", and the period. Docker's `--cpus` sets it.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_NUM_DEVICES = "JAX_NUM_CPU_DEVICES"


def num_usable_cores() -> int:
    """The cores that this process may run on; where a container's share of time is worth less, as many as it is."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else min(cores, max(1, int(quota) // int(period)))


def check_num_cpu_devices() -> None:
    """Checks what the environment says about the number of CPU devices; jax would end its import with a traceback.

    Raises:
        ValueError: If it is no number.
    """
    value = os.environ.get(_NUM_DEVICES, "0")
    try:
        int(value)
    except ValueError:
        raise ValueError(f"{_NUM_DEVICES} must be a whole number, got {value!r}; or unset it") from None
