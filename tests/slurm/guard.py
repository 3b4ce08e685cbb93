"""Kills every process of a throwaway cluster when the tests that started it have ended without taking it down.

    python guard.py FOLDER      waits for the end of its input, which ends with the process that holds the other side

Ctrl-C may end a test run before its clusters are taken down one by one; their daemons are in sessions of their own.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen


def processes_of(folder: Path) -> list[int]:
    """The cluster's daemons, jobs and steps: all have its configuration in their environment."""
    mark = f"SLURM_CONF={folder / 'slurm.conf'}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """No process of the cluster in `folder` outlives the block, even if this process is killed in it."""
    guard = Popen(
        [sys.executable, __file__, folder], stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        guard.communicate()


def main(folder: Path) -> None:
    sys.stdin.buffer.read()
    deadline = time.monotonic() + 10
    while (left := processes_of(folder)) and time.monotonic() < deadline:
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
