"""The former holder of a lock: waiting until it is known to be dead, and giving it the time to see that it lost."""

import time
from pathlib import Path
from typing import NamedTuple

from ._job import slurm_ids
from ._lock_files import Sighting, look, name_of_owner
from ._owner import Liveness, Owner, liveness
from ._reading import retry_read

POLL_S = 0.1


class InUseError(RuntimeError):
    """Another process, which is alive, holds the lock."""


class Vacancy(NamedTuple):
    """A lock that no process holds.

    Attributes:
        former: The last holder, as it was seen, if it ended without releasing; None if it released, or there was none.
        why: How that holder is known to be dead.
    """

    former: Sighting | None = None
    why: str = ""


def wait_until_vacated(file: Path, heartbeat_s: float, expiry_s: float) -> Vacancy | None:
    """Waits until it is certain that no process holds the lock by this file; None if the file is gone.

    Args:
        file: That of the highest number in the lock's folder.
        heartbeat_s: Seconds between two signs of life of a holder.
        expiry_s: Seconds of silence after which a holder counts as dead that cannot be seen from here.

    Raises:
        InUseError: If its holder is alive.
        UnreadableError: If it cannot be read.
    """
    first: Sighting | None = None
    patience = time.monotonic() + expiry_s
    while True:
        # Time is read before the file: if this process is stopped in between, the holder had longer, not shorter.
        now = time.monotonic()
        try:
            # A stale handle is tried again too: opened by its name once more, a file that is gone is not found.
            seen = retry_read(lambda: look(file))
        except FileNotFoundError:
            return None
        if seen.owner is not None:
            if seen.owner.released:
                return Vacancy()
            mine, theirs = slurm_ids(), seen.owner.slurm
            if mine is not None and theirs is not None and mine.is_requeue_of(theirs):
                return Vacancy(seen, f"it was restart {theirs.restart_count} of this SLURM job")
            match liveness(seen.owner):
                case Liveness.DEAD:
                    return Vacancy(seen, "that process has ended")
                case Liveness.ALIVE:
                    raise _in_use(file, seen.owner)
        first = first or seen
        if seen != first:
            raise _in_use(file, seen.owner)
        if now >= patience:
            return Vacancy(seen, f"no heartbeat for {expiry_s:g} s")
        time.sleep(min(POLL_S, heartbeat_s))


def let_it_notice(former: Owner | None, heartbeat_s: float) -> None:
    """Waits until an earlier incarnation of this job is dead, or has had the time to see that it lost the lock."""
    mine = slurm_ids()
    if former is None or mine is None or not mine.is_requeue_of(former.slurm):
        return
    patience = time.monotonic() + 2 * heartbeat_s
    while liveness(former) is not Liveness.DEAD and time.monotonic() < patience:
        time.sleep(min(POLL_S, heartbeat_s))


def _in_use(file: Path, owner: Owner | None) -> InUseError:
    stop = "" if owner is None else f", or stop it there with `kill {owner.pid}`"
    is_used = f"the run directory {file.parents[1]} is in use by {name_of_owner(owner)}"
    return InUseError(f"{is_used}; wait until that run ends{stop}")
