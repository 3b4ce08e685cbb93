"""The files of a lock: a folder in which the highest number holds, and a number is got by creating its file.

Creating a file exclusively is the one operation that is atomic on local and network file systems alike.
"""

import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from ._owner import Liveness, Owner, liveness
from ._reading import naming
from ._writing import sync_directory, write_all

# Six heartbeats of a lock, and some seconds by which two clocks may differ.
_HEARTBEAT_LIMIT_S = 45.0


class Sighting(NamedTuple):
    """A lock's file at one moment.

    Attributes:
        owner: None if the file is not, or not yet, whole.
        heartbeat_ns: Time of its last heartbeat, by the holder's clock: good for telling whether it changed.
    """

    owner: Owner | None
    heartbeat_ns: int


def read_holder(folder: Path) -> Sighting | None:
    """The holder of a run's lock, running or ended, and its last heartbeat. Changes nothing.

    Args:
        folder: The run's `lock_path`.

    Returns:
        None if the run was never locked, or its last holder has released the lock.

    Raises:
        OSError: If the folder or the lock's file cannot be read.
    """
    while numbers := generations(folder):
        try:
            seen = look(folder / str(max(numbers)))
        except FileNotFoundError:
            continue
        return None if seen.owner is not None and seen.owner.released else seen
    return None


def is_alive(lock_path: Path) -> bool:
    """Whether the process that holds a lock is alive, as far as can be seen at once.

    Of a process on another machine the heartbeat is compared with this one's clock: good enough for a status, but
    not for taking the lock.
    """
    holder = read_holder(lock_path)
    if holder is None:
        return False
    seen = Liveness.UNSEEN if holder.owner is None else liveness(holder.owner)
    return seen == Liveness.ALIVE or (
        seen == Liveness.UNSEEN and time.time() - holder.heartbeat_ns / 1e9 < _HEARTBEAT_LIMIT_S
    )


def generations(folder: Path) -> list[int]:
    """The numbers that there are; none if there is no folder."""
    try:
        return [int(name) for name in os.listdir(folder) if name.isdecimal()]
    except FileNotFoundError:
        return []


def look(file: Path) -> Sighting:
    """The present content of a file, and its time.

    Raises:
        OSError: If it is gone, or cannot be read.
    """
    # Opening, not only asking for the time: a network file system shows its newest state to those who open a file.
    with naming(file), open(file, "rb") as opened:
        heartbeat_ns = os.fstat(opened.fileno()).st_mtime_ns
        content = opened.read()
    try:
        return Sighting(Owner.from_json(json.loads(content)), heartbeat_ns)
    except (ValueError, TypeError, AttributeError):
        return Sighting(None, heartbeat_ns)


def create(file: Path, owner: Owner) -> bool:
    """Creates the file of an owner, whole and on disk; False if it is there already, or its folder is gone.

    Raises:
        OSError: If it cannot be written; then it is not there.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except (FileExistsError, FileNotFoundError):
        return False
    try:
        write_all(descriptor, owner_text(owner).encode())
        os.fsync(descriptor)
    except OSError:
        file.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    sync_directory(file.parent)
    return True


def owner_text(owner: Owner) -> str:
    """What the file of an owner holds."""
    return json.dumps(owner.to_json()) + "\n"


def name_of_owner(owner: Owner | None) -> str:
    """A holder in words: process, machine, and since when."""
    if owner is None:
        return "a process that left no name"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner.since))
    return f"process {owner.pid} on {owner.host} since {since}"
