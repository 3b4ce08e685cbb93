"""Standard output and error of a process that may be started without them, or outlive whoever reads them."""

import errno
import io
import os
import stat
import sys
from contextlib import suppress
from typing import Any

_lost: dict[str, str] = {}


def open_missing_streams() -> None:
    """Opens standard output and standard error where the process was started without them, as by `>&-`.

    Python then has None in their place, which whatever prints would fail on. What is written to the new ones is
    discarded. Call it before any other file is opened: one of them would get the stream's number, and what libraries
    print to that number would be written into it.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # It is open until the process ends.
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


def outlive_readers() -> None:
    """What cannot be printed from now on is lost, and no error: a run does not end with its reader.

    The reader of a pipe may be gone (`| head -1`), a terminal may be hung up, the disk of a redirection may be full.
    The first two are for good: `take_lost_streams` says so, for the run's log. After a full disk, or a full pipe that
    does not block, printing is tried again. For programs that train; one whose only purpose is to print should end
    instead.
    """
    for name in ("stdout", "stderr"):
        found = getattr(sys, name)
        # Not what a test or a notebook has put in their place, nor what outlives its reader already.
        raw = getattr(found.buffer, "raw", found.buffer) if type(found) is io.TextIOWrapper else None
        if type(raw) is io.FileIO:
            setattr(sys, name, _outliving(name, found))


def take_lost_streams() -> list[str]:
    """Which streams have lost their reader since the last call: `standard output was closed (Broken pipe)`."""
    lost = []
    with suppress(KeyError):  # nothing is left; other threads may print meanwhile
        while True:
            name, reason = _lost.popitem()
            lost.append(f"{name} was closed ({reason})")
    return lost


def discard(descriptor: int) -> None:
    """Whatever is written to a descriptor from now on is discarded, and what its stream still holds in its buffer."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _outliving(name: str, found: io.TextIOWrapper) -> io.TextIOWrapper:
    """A stream to the same descriptor, with the same settings."""
    with suppress(OSError, ValueError):
        found.flush()
    raw = _OutlivingFile(found.fileno(), {"stdout": "standard output", "stderr": "standard error"}[name])
    # As Python makes them: without a buffer where PYTHONUNBUFFERED is set.
    buffer: Any = raw if isinstance(found.buffer, io.FileIO) else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffer,
        encoding=found.encoding,
        errors=found.errors,
        line_buffering=found.line_buffering,
        write_through=found.write_through,
    )


class _OutlivingFile(io.FileIO):
    """A descriptor that takes whatever is written to it."""

    def __init__(self, descriptor: int, what: str):
        super().__init__(descriptor, "w", closefd=False)
        self._what = what

    def write(self, data: Any, /) -> int:
        try:
            written = super().write(data)
            # None of a full pipe that does not block: to its buffer, that would be an error.
            return len(data) if written is None else written
        except OSError as error:
            # To raise or to log here would end the run, or print again in the middle of printing.
            if _has_no_reader(error, self.fileno()):
                _lost[self._what] = error.strerror or str(error)
                discard(self.fileno())
            return len(data)


def _has_no_reader(error: OSError, descriptor: int) -> bool:
    """Whether an error in writing is for good: the reader of a pipe is gone, or a terminal was hung up."""
    # Not os.isatty, which says no of a terminal that was hung up.
    is_terminal = stat.S_ISCHR(os.fstat(descriptor).st_mode)
    return error.errno == errno.EPIPE or (error.errno == errno.EIO and is_terminal)
