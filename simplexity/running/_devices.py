"""The devices that a run trains on."""

import logging
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

import jax
from omegaconf import DictConfig

from simplexity.composition import ConfigError, Problem
from simplexity.host import jax_has_cuda
from simplexity.runs import RunDirectory, read_origin, retry_read, write_origin
from simplexity.training import DataParallel, configure_cpu_devices, share_among_cpu_devices

_log = logging.getLogger("simplexity")


def start_jax(config: DictConfig, directory: RunDirectory) -> str:
    """Makes JAX find its devices; building the run would do so too.

    The CPU is as many devices as it was when the run started, for other sums would round in another way.

    Returns:
        The platform of the devices.

    Raises:
        RuntimeError: If JAX cannot use the platform that it is told to, or origin.json cannot be read.
    """
    origin = retry_read(lambda: read_origin(directory.origin_path))
    configure_cpu_devices(config.training.batch_size * config.training.sequence_len, origin.cpu_devices)
    try:
        return jax.default_backend()
    except (RuntimeError, AssertionError) as error:
        # An AssertionError without words is how jax says that it was installed without that platform.
        reason = " ".join(str(error).split()) or "jax is installed without it"
        platforms = jax.config.jax_platforms  # pyright: ignore[reportAttributeAccessIssue]
        raise RuntimeError(
            f"JAX_PLATFORMS={platforms}, which jax cannot use here ({reason}): "
            "check the driver and, with nvidia-smi, that other processes leave memory free, install jax with CUDA "
            "(extra `cuda12` or `cuda13`), or unset it"
        ) from error


def keep_cpu_devices(directory: RunDirectory, require_held: Callable[[], object] = lambda: None) -> None:
    """Writes down how many devices the CPU is, if this is the run's first start on one: see `write_origin`."""
    origin = retry_read(lambda: read_origin(directory.origin_path))
    if origin.cpu_devices is None and jax.default_backend() == "cpu":
        write_origin(directory.origin_path, replace(origin, cpu_devices=jax.device_count()), require_held)


def device_names() -> list[str]:
    """What the run computes on, in words for its environment."""
    return [f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices()]


def share_among_devices(config: DictConfig) -> DataParallel | None:
    """How the batch is shared among devices; None if there is one.

    Every process trains on its first accelerator, or on all that it sees with `all_devices`. A process alone on a CPU
    trains on as much of it as the step is worth.

    Raises:
        ConfigError: If the batch cannot be shared evenly.
    """
    batch_size = config.training.batch_size
    devices = jax.devices()
    if devices[0].platform == "cpu" and jax.process_count() == 1:
        return share_among_cpu_devices(batch_size)
    by_process = [list(devices) for _, devices in groupby(devices, key=lambda device: device.process_index)]
    used = [device for devices in by_process for device in (devices if config.all_devices else devices[:1])]
    if batch_size % len(used):
        message = f"must be divisible by the number of devices, {len(used)}, got {batch_size}"
        raise ConfigError([Problem("training.batch_size", message)])
    return DataParallel(used) if len(used) > 1 else None


def check_accelerator(config: DictConfig, platform: str) -> None:
    """Tells of accelerators that are there and not used.

    Args:
        config: The run's.
        platform: Of the devices.

    Raises:
        RuntimeError: If the run needs one and there is none.
    """
    if platform != "cpu":
        num_devices = jax.local_device_count()
        if num_devices > 1 and not config.all_devices:
            _log.warning("1 of %d devices is used: `all_devices=true` trains on all of them", num_devices)
        return
    if config.require_gpu:
        raise RuntimeError("`require_gpu` is true, but jax sees no GPU here: check the driver, or set it to false")
    if jax_has_cuda():
        _log.warning("running on the CPU: jax's CUDA is installed, but there is no GPU here")
