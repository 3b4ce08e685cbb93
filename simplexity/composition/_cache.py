"""The compilation cache of a run's process, as JAX is told of it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from simplexity.cluster import CompilationCache, default_cache_folder

_log = logging.getLogger("simplexity")


@contextmanager
def compilation_cache() -> Iterator[CompilationCache | None]:
    """Keeps compiled programs within the `with` block; not where the cache cannot be written, with a warning."""
    folder = default_cache_folder() / "programs"
    try:
        cache = CompilationCache(folder)
    except OSError as error:
        _log.warning(
            "compiled programs are not kept: %s cannot be written (%s); set SIMPLEXITY_CACHE", folder, error.strerror
        )
        yield None
        return
    try:
        _configure_jax(cache)
        yield cache
    finally:
        cache.close()


def _configure_jax(cache: CompilationCache) -> None:
    import jax  # takes longer than all that a start which is refused needs

    jax.config.update("jax_compilation_cache_dir", str(cache.folder))
    # By default JAX keeps only what took a second to compile, and a small model's programs rarely do.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # XLA's own caches would be named by this process's folder.
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
