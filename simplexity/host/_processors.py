"""The CPU cores and the GPU that a process may use, and what JAX must be told of them before it is imported."""

import importlib.util
import os
from pathlib import Path

# Where JAX looks for NVIDIA's GPUs (jax/_src/hardware_utils.py); without any it computes on the CPU.
_DEVICES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")
_DETERMINISTIC = "--xla_gpu_deterministic_ops"
# Of cgroups, version 2: microseconds of time per period, or "max", and the period. Docker's `--cpus` sets it.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_NUM_DEVICES = "JAX_NUM_CPU_DEVICES"


def jax_has_cuda() -> bool:
    """Whether jax was installed with CUDA (such as by the extra `cuda12`)."""
    return any(importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13))


def configure_accelerator() -> None:
    """Has JAX pass over a GPU that is absent, and compile programs that compute the same wherever they are compiled.

    Where its CUDA is installed, as in the image, but no GPU is to be seen, JAX computes on the CPU either way, but
    prints a traceback of its plugin's before. And left to itself, XLA chooses among kernels by how long they take when
    it tries them, and these round differently. Call it before jax is imported; what the environment sets stays
    (JAX_PLATFORMS, that option in XLA_FLAGS).
    """
    if not jax_has_cuda():
        return
    flags = os.environ.get("XLA_FLAGS", "")
    if _DETERMINISTIC not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_DETERMINISTIC}=true".strip()
    if not os.environ.get("JAX_PLATFORMS") and not any(Path(device).exists() for device in _DEVICES):
        os.environ["JAX_PLATFORMS"] = "cpu"


def num_usable_cores() -> int:
    """The cores in this process's CPU affinity, capped by the cgroup quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else min(cores, max(1, int(quota) // int(period)))


def check_num_cpu_devices() -> None:
    """Checks the number of CPU devices in the environment; jax would end its import with a traceback.

    Raises:
        ValueError: If it is no number.
    """
    value = os.environ.get(_NUM_DEVICES, "0")
    try:
        int(value)
    except ValueError:
        raise ValueError(f"{_NUM_DEVICES} must be a whole number, got {value!r}; or unset it") from None
