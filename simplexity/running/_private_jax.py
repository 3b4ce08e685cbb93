"""What JAX has no public way to. This is the only module that reaches into JAX's own.

Tests run it with the oldest and the newest JAX that the project supports; another JAX may have changed either.
"""

import io
import threading
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


class RecordingCache:
    """A cache as JAX's compiler uses it, which remembers the compiled programs that went through it.

    Args:
        files: Where they are kept.
    """

    def __init__(self, files: CompilationCache):
        self.files = files
        self._of_thread = threading.local()

    @property
    def _path(self) -> object:
        return self.files._path

    @contextmanager
    def recorded(self) -> Iterator[list[bytes]]:
        """The serialised executables that this thread compiles, or finds in the cache, within the `with` block."""
        self._of_thread.entries = entries = []
        try:
            yield entries
        finally:
            del self._of_thread.entries

    def get(self, key: str) -> bytes | None:
        """The entry of `key`, if there is one."""
        value = self.files.get(key)
        if value is not None:
            self._record(value)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Keeps an entry."""
        self.files.put(key, value)
        self._record(value)

    def _record(self, value: bytes) -> None:
        entries = getattr(self._of_thread, "entries", None)
        if entries is not None:
            from jax._src import compilation_cache as of_jax

            executable, _ = of_jax.extract_executable_and_time(of_jax.decompress_executable(value))
            entries.append(executable)


_in_use: RecordingCache | None = None
_usual: Any = None  # what JAX uses outside of all blocks
_num_blocks = 0
_blocks_lock = threading.Lock()


def cache_in_use() -> RecordingCache | None:
    """The cache of the `jax_uses` blocks that this process is in; None outside of all."""
    return _in_use


def pickled_executable(compiled: Any, executable: bytes) -> bytes:
    """What `jax.experimental.serialize_executable.serialize` gives, whose own bytes lack code if a cache had them.

    Args:
        compiled: A `jax.stages.Compiled`.
        executable: Its executable, as JAX's cache has it.
    """
    import jax
    from jax.experimental import serialize_executable as of_jax
    from jaxlib import _jax as xla  # pyright: ignore[reportAttributeAccessIssue]

    class Pickler(of_jax._JaxPjrtPickler):
        def persistent_id(self, obj: Any) -> Any:
            if isinstance(obj, xla.LoadedExecutable | xla.Executable):
                return "exec", executable
            return super().persistent_id(obj)

    if compiled._params.const_args:
        raise ValueError("it has constants beside its arguments")
    stream = io.BytesIO()
    Pickler(stream).dump(
        (compiled._executable._unloaded_executable, jax.tree.leaves(compiled.args_info), compiled._no_kwargs)
    )
    return stream.getvalue()


@contextmanager
def jax_uses(cache: CompilationCache) -> Iterator[bool]:
    """Lets JAX keep compiled programs in `cache` within the `with` block.

    JAX's public options name a folder for a cache of its own, which writes its files in place: two processes of a sweep
    would read each other's half-written ones. JAX has one cache for all threads: while any thread is in such a block,
    the cache of the first one stays in use, and further blocks, within it or in other threads, use that.

    Yields:
        Whether this version of JAX takes it.
    """
    global _in_use, _usual, _num_blocks
    import jax  # takes longer than all that a start which is refused needs

    try:
        from jax._src import compilation_cache as of_jax

        of_jax._cache  # noqa: B018
    except (ImportError, AttributeError):
        yield False
        return
    with _blocks_lock:
        if _num_blocks == 0:
            # By default JAX keeps only what took a second to compile, and a small model's programs rarely do.
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
            _usual, _in_use = of_jax._cache, RecordingCache(cache)
            of_jax._cache = _in_use  # pyright: ignore[reportAttributeAccessIssue]
        _num_blocks += 1
    try:
        yield True
    finally:
        with _blocks_lock:
            _num_blocks -= 1
            if _num_blocks == 0:
                of_jax._cache, _in_use, _usual = _usual, None, None
