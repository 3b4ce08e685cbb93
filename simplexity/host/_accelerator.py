"""How JAX uses a GPU, settled before it is imported."""

import importlib.util
import os
from pathlib import Path

# Where JAX looks for NVIDIA's GPUs (jax/_src/hardware_utils.py); without any it computes on the CPU.
_DEVICES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")
_DETERMINISTIC = "--xla_gpu_deterministic_ops"


def jax_has_cuda() -> bool:
    """Whether jax was installed with CUDA (such as by the extra `cuda12`)."""
    return any(importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13))


def settle_accelerator() -> None:
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
