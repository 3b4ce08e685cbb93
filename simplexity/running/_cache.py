"""The compilation cache of a run's process, as JAX is told of it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from simplexity.host import CompilationCache, default_cache_folder

_log = logging.getLogger("simplexity")


@contextmanager
def compilation_cache() -> Iterator[None]:
    """Keeps compiled programs within the `with` block; not where that is impossible, with a warning."""
    folder = default_cache_folder() / "programs"
    try:
        cache = CompilationCache(folder)
    except OSError as error:
        _log.warning(
            "compiled programs are not kept: %s cannot be used (%s); set SIMPLEXITY_CACHE", folder, error.strerror
        )
        yield
        return
    with _used_by_jax(cache):
        yield


@contextmanager
def _used_by_jax(cache: CompilationCache) -> Iterator[None]:
    import jax  # takes longer than all that a start which is refused needs

    try:
        # JAX has no public way to give it a cache of one's own, and its own one writes in place.
        from jax._src import compilation_cache as of_jax

        usual = of_jax._cache
    except (ImportError, AttributeError):
        _log.warning("compiled programs are not kept: this version of JAX, %s, takes no cache of ours", jax.__version__)
        yield
        return
    # By default JAX keeps only what took a second to compile, and a small model's programs rarely do.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    of_jax._cache = cache  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        of_jax._cache = usual
