"""One run directory, one process.

The lock is a folder of numbered files; the process that created the highest one holds the lock. To take over a stale
lock number n, a process creates number n + 1: if several try, one succeeds, and the others see it. The highest file is
never removed, only marked as released, unless the run is complete. A former holder finds its own file gone.

A holder may be frozen (stopped, its machine suspended, its file server unreachable) for longer than others wait, and
then continue in the middle of a write. It calls `require_held` just before each write, but it can be frozen between the
two. So everything is written in such a way that a late write does no harm:

- Lines (run.jsonl, metrics.jsonl): the file is opened first, and then the lock is checked. A process that takes over
  copies the lines into a new file of the same name before it adds its own (`renew_json_lines`). A late line goes into
  the old file.
- Checkpoints are written under names that carry the holder's number. A process that takes over first removes those of
  all others, by a rename. A late commit then finds nothing to rename; an earlier one is a valid checkpoint of the run.
- Files that are replaced as a whole (config.yaml, COMPLETE, environment.json, and files of lines when they are renewed)
  are written under a temporary name, then the lock is checked, and then they are renamed. A process that takes over
  first deletes all such temporary files (`acquire`), and reads the folder only then. A late rename then finds nothing
  to rename; an earlier one is what the new holder reads.

This holds where a process that lists a folder sees all names in it. NFS may show a name of another machine only after
its cache time (`acdirmax`, 60 s by default). A temporary file of the last minute could then be renamed late, and lines
that the new holder has added meanwhile would be lost from metrics.jsonl; checkpoints are not affected.

Three outputs are not checked. None is read by a later attempt, and each shows the numbers of metrics.jsonl, which are
the same in every process, because a run computes the same wherever it runs: figures are drawn at the end, from that
file; MLflow and its like get each line with its step, and a value sent twice is the same (the file with the id of the
run there is checked); the log gets lines appended.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ._former_holder import POLL_S, Vacancy, let_it_notice, wait_until_vacated
from ._lock_files import create, generations, look, name_of_owner, owner_text
from ._owner import Owner, this_process
from ._reading import UnreadableError, retry_read
from ._writing import delete_temporaries, write_durably

_log = logging.getLogger(__name__)
_RECHECK_S = 0.3
_TRIES = 3


class LostLockError(RuntimeError):
    """Another process has taken over the run, because this one was frozen: it may write nothing more."""


class RunLock:
    """Holds a run directory for this process, from `acquire` to `release` or within a `with` block.

    If the holder is known to be dead, its lock is taken over at once. So is that of an earlier incarnation of this
    SLURM job, dead or alive: SLURM requeues a job when it loses contact with its node, where the processes may still
    run. That incarnation is then given two heartbeats to notice. A holder that cannot be seen from here (on another
    machine, in another container) counts as dead if its heartbeat does not change during `expiry_s`. The clocks of two
    machines are never compared.

    Args:
        folder: The lock's folder, within the run directory.
        heartbeat_s: Seconds between two signs of life.
        expiry_s: Seconds of silence after which a holder counts as dead; the same for all that use the folder.
        on_lost: Called, in a thread of its own, within a heartbeat after another process has taken over.
    """

    def __init__(
        self,
        folder: Path,
        *,
        heartbeat_s: float = 5.0,
        expiry_s: float = 30.0,
        on_lost: Callable[[], None] = lambda: None,
    ):
        if not 0 < 2 * heartbeat_s <= expiry_s:
            numbers = f"{expiry_s} and {heartbeat_s}"
            raise ValueError(f"`expiry_s` must be at least twice `heartbeat_s`, and both positive, got {numbers}")
        self._folder = folder
        self._heartbeat_s = heartbeat_s
        self._expiry_s = expiry_s
        self._on_lost = on_lost
        self._owner: Owner | None = None
        self._generation = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._previous_alive: float | None = None

    @property
    def previous_alive(self) -> float | None:
        """Unix time of the last heartbeat of a holder that ended without releasing; None if the last one released."""
        return self._previous_alive

    def acquire(self) -> "RunLock":
        """Takes the lock; waits at most `expiry_s` to see whether a holder on another machine is alive.

        Raises:
            InUseError: If another process holds it.
            UnreadableError: If the folder, or a file in it, cannot be read, in several tries.
            RuntimeError: If the folder cannot be written.
        """
        if self._owner is not None:
            raise RuntimeError(f"this process already holds the lock {self._folder}")
        try:
            while not self._try_to_acquire():
                pass
            # From now on the checks of former holders fail; what they checked before must not be renamed any more.
            delete_temporaries(self._folder.parent)
            for generation in self._generations():
                if generation < self._generation:
                    self._file(generation).unlink(missing_ok=True)
        except (OSError, UnreadableError) as error:
            self.release()  # held already, it would keep others away as long as this process lives
            problem = f"the lock {self._folder} cannot be taken"
            if isinstance(error, UnreadableError):
                raise UnreadableError(f"{problem}: {error}") from None
            raise RuntimeError(f"{problem}: {error.strerror}") from None
        self._stop.clear()
        self._thread = threading.Thread(target=self._beat, name="run lock heartbeat", daemon=True)
        self._thread.start()
        return self

    def release(self, *, remove: bool = False) -> None:
        """Gives the lock back, and removes its folder if told to: a former holder finds no file of its own any more.

        Does nothing if it is not held, or in a forked child of the holder.
        """
        if self._owner is None or self._owner.pid != os.getpid():
            return
        self._stop.set()
        if self._thread is not None:
            # A heartbeat may hang on a dead file server; that must not keep the process from exiting.
            self._thread.join(timeout=1.0)
        try:
            if self.still_held():
                write_durably(self._file(self._generation), owner_text(self._owner._replace(released=True)))
                if remove:
                    self._file(self._generation).unlink(missing_ok=True)
                    with suppress(OSError):  # another process has taken the lock just now
                        self._folder.rmdir()
        except OSError as error:
            # As good as a kill: the next start sees that this process is dead.
            _log.warning("the lock %s could not be released: %s", self._folder, error.strerror)
        self._owner = None

    def still_held(self) -> bool:
        """Whether this process still is the holder: after a long freeze, another may have taken over.

        Raises:
            OSError: If the lock cannot be read at all.
        """
        if self._owner is None:
            return False
        try:
            if look(self._file(self._generation)).owner != self._owner:
                return False
        except FileNotFoundError:
            # No other error says so. On NFS a handle is stale if the file was replaced, was removed, or the server
            # restarted: opened by its name once more, the file is there or not.
            return False
        try:
            # Not `Path.exists`, which takes an error for an answer.
            os.stat(self._file(self._generation + 1))
        except FileNotFoundError:
            return True
        return False

    def require_held(self) -> int:
        """To be called just before something is written that another process must not find in its run.

        Returns:
            The number of this acquisition, higher than that of any before it.

        Raises:
            LostLockError: If another process has taken over.
            UnreadableError: If the lock cannot be read, in several tries.
        """
        for _ in range(_TRIES):
            if retry_read(self.still_held):
                return self._generation
            # A network file system may fail to find a file once.
            time.sleep(_RECHECK_S)
        raise LostLockError(
            f"another process took over {self._folder.parent} while this one was frozen: it writes nothing more"
        )

    def __enter__(self) -> "RunLock":
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def _file(self, generation: int) -> Path:
        return self._folder / str(generation)

    def _try_to_acquire(self) -> bool:
        """One round; False if another process was quicker, or what it looked at is gone."""
        self._folder.mkdir(exist_ok=True)
        current = max(self._generations(), default=0)
        if current:
            vacancy = wait_until_vacated(self._file(current), self._heartbeat_s, self._expiry_s)
            if vacancy is None:
                return False
        else:
            vacancy = Vacancy()
        owner = this_process(since=round(time.time(), 3))
        if not create(self._file(current + 1), owner):
            # A network file system may show the old folder for a while; of a complete run, it may just be removed.
            time.sleep(POLL_S)
            return False
        # From here on an error releases it.
        self._owner, self._generation = owner, current + 1
        # A process that looked long ago may have created a number that had been used and removed since.
        if max(self._generations()) != current + 1:
            self._owner = None
            return False
        former = vacancy.former
        self._previous_alive = None if former is None else former.heartbeat_ns / 1e9
        if former is not None:
            _log.warning("took over the lock %s from %s: %s", self._folder, name_of_owner(former.owner), vacancy.why)
            let_it_notice(former.owner, self._heartbeat_s)
        return True

    def _generations(self) -> list[int]:
        """The numbers that there are; a folder that cannot be listed is tried again."""
        return retry_read(lambda: generations(self._folder))

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat_s):
            # An interrupted file server is no lost lock.
            with suppress(OSError):
                # Looked at twice, because a network file system may fail to find a file once.
                if not self.still_held() and not self._stop.wait(_RECHECK_S) and not self.still_held():
                    self._on_lost()
                    return
                now_ns = time.time_ns()
                os.utime(self._file(self._generation), ns=(now_ns, now_ns))
