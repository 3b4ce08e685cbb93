"""How the programs of the training's tests are compiled where their bits are compared: as a run's own."""

from contextlib import AbstractContextManager

from simplexity.training._compiler_options import compiler_options
from tests import compilation


def optimized() -> AbstractContextManager[None]:
    """See `tests.compilation.optimized`."""
    return compilation.optimized(compiler_options(True), compiler_options(False))
