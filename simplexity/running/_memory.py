"""Programs that need more memory than there is: refused before they run, and an error of one line where they fail.

Without the check, a program on a CPU would get all that it asks for, until the kernel kills the process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
from jax.errors import JaxRuntimeError

from simplexity.host import usable_memory_bytes

from ._program import Program, needed_bytes

_SMALLER = "choose a smaller `training.batch_size`, `training.sequence_len` or model"


def fits_into_memory(compiled: Any) -> bool:
    """Whether a compiled program fits into the memory of its device: a `Program`, or one of `equinox.filter_jit`."""
    needed, usable = _needed_and_usable(compiled)
    return needed <= usable


def require_memory(compiled: Any, needs: str, remedy: str = _SMALLER) -> None:
    """Checks that a compiled program fits into the memory of the device that it runs on.

    Args:
        compiled: As in `fits_into_memory`.
        needs: What needs the memory, in words for the error.
        remedy: What the user can do.

    Raises:
        RuntimeError: If it does not fit.
    """
    needed, usable = _needed_and_usable(compiled)
    if needed > usable:
        raise RuntimeError(
            f"out of memory: {needs} {needed / 1e9:,.1f} GB, and the {jax.local_devices()[0].platform} has "
            f"{usable / 1e9:,.1f} GB; {remedy}"
        )


def _needed_and_usable(compiled: Any) -> tuple[int, int]:
    """Bytes that a program needs, and those that its device has."""
    needed = compiled.needed_bytes if isinstance(compiled, Program) else needed_bytes(compiled.compiled)
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return needed, usable_memory_bytes()
    return needed, (device.memory_stats() or {}).get("bytes_limit", needed)


@contextmanager
def out_of_memory_in_one_line() -> Iterator[None]:
    """Names the keys of the config in an error about memory of XLA or Python, which says only what it wanted.

    Raises:
        RuntimeError: In place of that error.
    """
    try:
        yield
    except MemoryError as error:
        wanted = str(error).partition("\n")[0] or "Python got no more memory"
        raise RuntimeError(f"out of memory: {wanted}; {_SMALLER}") from error
    except JaxRuntimeError as error:
        if not str(error).startswith("RESOURCE_EXHAUSTED"):
            raise
        raise RuntimeError(f"out of memory: {str(error).partition(': ')[2].splitlines()[0]} {_SMALLER}") from error
