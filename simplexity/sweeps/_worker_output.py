"""Where a worker prints: what a run prints goes to the run's log, and what it says between runs to its own output."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from simplexity.host import PreemptionGuard, take_lost_streams

_DESCRIPTORS = (1, 2)


class WorkerOutput:
    """A worker's own standard output and error, as this process has found them.

    The descriptors are redirected, and not Python's streams alone: XLA writes to them directly.
    """

    def __init__(self):
        self._own = [os.dup(descriptor) for descriptor in _DESCRIPTORS]

    def print_line(self, line: str) -> None:
        """Prints a line to the worker's own output. A reader that is gone does no harm: `outlive_readers`."""
        print(line, flush=True)
        # Nothing that the log of a run should tell: what the run prints is not lost.
        take_lost_streams()

    @contextmanager
    def redirected_to(self, path: Path) -> Iterator[None]:
        """What this process prints within the `with` block, and the libraries in it, is appended to a file."""
        path.parent.mkdir(exist_ok=True)
        _flush()
        take_lost_streams()
        for descriptor, own in zip(_DESCRIPTORS, self._own, strict=True):
            # One that has lost its reader leads elsewhere by now: see `outlive_readers`.
            os.dup2(descriptor, own, inheritable=False)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            for descriptor in _DESCRIPTORS:
                os.dup2(file, descriptor)
            yield
        finally:
            with suppress(OSError):  # a full disk
                _flush()
            self.put_back()
            os.close(file)

    def put_back(self) -> None:
        """Standard output and error are the worker's own again."""
        for descriptor, own in zip(_DESCRIPTORS, self._own, strict=True):
            os.dup2(own, descriptor)

    @contextmanager
    def messages_of(self, guard: PreemptionGuard) -> Iterator[None]:
        """Within the `with` block, the answer to Ctrl-C is the worker's, and not in the log of a run."""
        guard.message_descriptor = self._own[1]
        try:
            yield
        finally:
            guard.message_descriptor = 2
            for own in self._own:
                os.close(own)
            self._own = []


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
