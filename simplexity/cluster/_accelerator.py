"""Whether there is a GPU to compute on, found out before JAX is imported."""

import importlib.util
import os
from pathlib import Path

# Where JAX looks for NVIDIA's GPUs (jax/_src/hardware_utils.py); without any it computes on the CPU.
_DEVICES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")


def pass_over_absent_gpu() -> None:
    """Has JAX compute on the CPU where its CUDA is installed, as in the image, but no GPU is to be seen.

    JAX would do so too, after a traceback from its plugin. Call it before jax is imported. Whoever has set
    JAX_PLATFORMS has decided.
    """
    if os.environ.get("JAX_PLATFORMS") or importlib.util.find_spec("jax_cuda12_plugin") is None:
        return
    if not any(Path(device).exists() for device in _DEVICES):
        os.environ["JAX_PLATFORMS"] = "cpu"
