"""How the programs of the tests are compiled: quickly, because they run once or twice, or as a run's own are."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from unittest import mock

# JAX 0.10 can do without XLA's slow emitters of fused loops, and then compiles twice as fast. Later versions cannot,
# and an XLA that does not know a flag ends the process.
_EMITTERS = "xla_cpu_use_fusion_emitters"
_CAN_CHOOSE = version("jaxlib").startswith("0.10.")
_QUICK = f"--{_EMITTERS}=false --xla_cpu_parallel_codegen_split_count=1" if _CAN_CHOOSE else ""
# xdist's workers inherit what their parent has set.
_before = os.environ.get("XLA_FLAGS", "").removesuffix(_QUICK).strip()
QUICK_FLAGS = f"{_before} {_QUICK}".strip()
"""The value of XLA_FLAGS with which the tests' own process compiles."""


def compile_quickly() -> None:
    """To be called when JAX has been imported with `QUICK_FLAGS`; processes that tests start do not inherit them."""
    if jax := sys.modules.get("jax"):
        jax.config.update("jax_disable_most_optimizations", True)
        # XLA reads its flags once, at the latest here.
        jax.jit(lambda: 0.0)()
    del os.environ["XLA_FLAGS"]
    if _before:
        os.environ["XLA_FLAGS"] = _before


@contextmanager
def optimized(*options: dict[str, bool | int | str]) -> Iterator[None]:
    """Programs that are made and compiled in here are those of a run: for tests that compare their bits.

    Args:
        *options: All options of XLA that a run's programs may be compiled with.
    """
    import jax

    as_ever: dict[str, bool | int | str] = {_EMITTERS: True} if _CAN_CHOOSE else {}
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        with ExitStack() as stack:
            for each in options:
                stack.enter_context(mock.patch.dict(each, as_ever))
            yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
