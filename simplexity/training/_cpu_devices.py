"""How a CPU's cores share a step: each is a device of one thread, which takes a part of the batch.

XLA's other way is to split single operations over threads. Those of small models take microseconds, less than handing
one over; whole parts of the batch meet once per step. And what a device computes does not depend on how many cores
there are: a run with as many devices as before computes the same numbers anywhere.
"""

import os
from contextlib import suppress

import jax

from simplexity.host import num_usable_cores

from ._data_parallel import DataParallel

# Measured on two cores with GRUs: below about twice this, meeting costs more than a second device saves.
_FEWEST_TOKENS = 512
# What XLA asks for the number of threads when it makes its client of the CPU.
_THREADS = "PJRT_NPROC"


def configure_cpu_devices(tokens_per_step: int, number: int | None = None) -> None:
    """Makes JAX see the CPU as one device or several, of one thread each; without effect after its first computation.

    What the environment sets stays (JAX_NUM_CPU_DEVICES, PJRT_NPROC).

    Args:
        tokens_per_step: Sequences per update times predictions per sequence.
        number: Of devices; None for as many as there are cores and the step is worth.
    """
    os.environ.setdefault(_THREADS, "1")
    if jax.config.jax_num_cpu_devices > 0:  # pyright: ignore[reportAttributeAccessIssue]
        return
    with suppress(RuntimeError):
        worth = max(1, tokens_per_step // _FEWEST_TOKENS)
        jax.config.update("jax_num_cpu_devices", number or min(num_usable_cores(), worth))


def share_among_cpu_devices(batch_size: int) -> DataParallel | None:
    """How this process's CPU devices share a batch: as many of them as divide it evenly; None if that is one."""
    devices = jax.devices("cpu")
    number = next(number for number in range(len(devices), 0, -1) if batch_size % number == 0)
    return DataParallel(devices[:number]) if number > 1 else None
