"""Where the threads of a worker print, each of which executes a run: into the log of its run.

What is written to the descriptors directly, as XLA's messages are, belongs to no thread: it is in the worker's own log.
"""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_file: ContextVar[Any] = ContextVar("what a thread prints to", default=None)


@contextmanager
def output_by_thread() -> Iterator[None]:
    """Within the `with` block, a thread prints to its own file if it has one: see `thread_prints_to`."""
    found = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_StreamOfThread, found)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = found


@contextmanager
def thread_prints_to(path: Path) -> Iterator[None]:
    """What this thread prints within the `with` block is appended to a file; its folder is made if missing."""
    path.parent.mkdir(exist_ok=True)
    file = open(path, "a", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115  a full disk may fail its closing
    before = _file.set(file)
    try:
        yield
    finally:
        _file.reset(before)
        with suppress(OSError):  # a full disk
            file.close()


class _StreamOfThread(io.TextIOBase):
    """Writes to the file of the thread that writes, or to what the process has found as its own stream."""

    def __init__(self, own: Any):
        self._own = own

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]  a plain attribute there
        return self._stream().encoding

    def write(self, text: str) -> int:
        return self._stream().write(text)

    def flush(self) -> None:
        self._stream().flush()

    def isatty(self) -> bool:
        return self._stream().isatty()

    def fileno(self) -> int:
        return self._stream().fileno()

    def _stream(self) -> Any:
        return _file.get() or self._own
