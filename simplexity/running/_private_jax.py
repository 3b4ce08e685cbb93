"""What JAX has no public way to. This is the only module that reaches into JAX's own.

Tests run it with the oldest and the newest JAX that the project supports; another JAX may have changed either.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from simplexity.host import CompilationCache


def coordinator_client() -> Any:
    """The client of the key-value store that the processes of a run share; Orbax takes it from the same place.

    The public `jax.experimental.multihost_utils` only moves arrays between processes that all call it at the same time.
    """
    from jax._src import distributed

    return distributed.global_state.client


@contextmanager
def jax_uses(cache: CompilationCache) -> Iterator[bool]:
    """Lets JAX keep compiled programs in `cache` within the `with` block.

    JAX's public options name a folder for a cache of its own, which writes its files in place: two processes of a sweep
    would read each other's half-written ones.

    Yields:
        Whether this version of JAX takes it.
    """
    import jax  # takes longer than all that a start which is refused needs

    try:
        from jax._src import compilation_cache as of_jax

        usual = of_jax._cache
    except (ImportError, AttributeError):
        yield False
        return
    # By default JAX keeps only what took a second to compile, and a small model's programs rarely do.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    of_jax._cache = cache  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield True
    finally:
        of_jax._cache = usual
