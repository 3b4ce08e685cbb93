"""The runs that a worker executes at the same time, each in a thread of its own."""

import queue
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from simplexity.runs import ExitCode, LostLockError, RunLock, UnreadableError

from ._manifest import SweepRun


class EndedRun(NamedTuple):
    """A run that has ended for its worker, and with which exit code."""

    run: SweepRun
    exit_code: int


class RunThreads:
    """Starts threads that execute runs, and says which have ended; used by one thread, which also sees the signals.

    Args:
        execute: Executes a run whose lock is held, and releases it; returns its exit code.
    """

    def __init__(self, execute: Callable[[SweepRun, RunLock], int]):
        self._execute = execute
        self._ended: queue.SimpleQueue[EndedRun] = queue.SimpleQueue()
        self._num_running = 0

    @property
    def num_running(self) -> int:
        """How many runs have started and were not said to have ended."""
        return self._num_running

    def start(self, run: SweepRun, lock: RunLock) -> None:
        """Starts a thread that executes the run."""
        self._num_running += 1
        threading.Thread(target=self._run, args=(run, lock), name=f"run {run.index}").start()

    def next_ended(self, timeout_s: float) -> EndedRun | None:
        """A run that has ended; None if none does within `timeout_s`."""
        try:
            ended = self._ended.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._num_running -= 1
        return ended

    def _run(self, run: SweepRun, lock: RunLock) -> None:
        code: int = ExitCode.FAILED
        try:
            code = self._execute(run, lock)
        except (OSError, UnreadableError, LostLockError) as error:
            # The file system has failed, or another process has taken over the run: the other runs continue.
            with suppress(OSError):  # it may be the disk that this is printed to
                sys.stderr.write(f"#{run.index}: {error}\n")
        except BaseException:
            with suppress(OSError):
                traceback.print_exc()
        finally:
            self._ended.put(EndedRun(run, code))
