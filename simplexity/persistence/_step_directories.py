"""The directory of checkpoints: one subdirectory per committed step, named by its number.

Whatever else lies there is no checkpoint, to us and to Orbax alike, whose step names are plain numbers.
"""

import errno
import os
import shutil
from pathlib import Path

_UNCOMMITTED = ".uncommitted"
_DELETING = ".deleting"
# A checkpoint has some 15 small files beside its arrays, each of which takes a block.
_OVERHEAD_BYTES = 128 * 1024


def committed_steps(directory: Path) -> list[int]:
    """The steps that have a checkpoint, in ascending order; none where there is no directory.

    Raises:
        OSError: If the directory cannot be read.
    """
    try:
        with os.scandir(directory) as entries:
            return sorted(int(entry.name) for entry in entries if entry.name.isdecimal() and entry.is_dir())
    except FileNotFoundError:
        return []


def uncommitted(directory: Path, step: int) -> Path:
    """Where a checkpoint is written before it counts; Orbax adds a suffix of its own while it writes."""
    return directory / f"{step}{_UNCOMMITTED}"


def commit(directory: Path, step: int) -> None:
    """Makes a complete checkpoint count, by a rename: there is no moment at which it counts in part."""
    uncommitted(directory, step).rename(directory / str(step))


def require_space(directory: Path, num_bytes: int) -> None:
    """Checks that a checkpoint of arrays of `num_bytes` in all fits on the disk.

    TensorStore's threads print a traceback of their own when a write fails, and only then is the failure ours to tell.

    Raises:
        OSError: If it does not. A quota, or another who fills the disk meanwhile, shows only in writing.
    """
    needed, free = num_bytes + _OVERHEAD_BYTES, shutil.disk_usage(directory).free
    if free < needed:
        sizes = f"it takes {needed / 1e6:.2f} MB, {free / 1e6:.2f} MB are free"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({sizes})")


def quarantine(directory: Path, step: int) -> Path:
    """Renames a corrupt checkpoint, so that nothing takes it for a valid one and a person can still look at it."""
    number = 1
    while (renamed := directory / f"{step}.corrupt-{number}").exists():
        number += 1
    return (directory / str(step)).rename(renamed)


def delete(directory: Path, step: int) -> None:
    """Deletes a checkpoint. It is renamed first: a kill halfway through must not leave half a checkpoint."""
    doomed = (directory / str(step)).rename(directory / f"{step}{_DELETING}")
    shutil.rmtree(doomed, ignore_errors=True)


def delete_remains(directory: Path) -> None:
    """Deletes what a killed process left: checkpoints that were never committed, and half deleted ones."""
    for entry in directory.iterdir():
        if _UNCOMMITTED in entry.name or entry.name.endswith(_DELETING):
            shutil.rmtree(entry, ignore_errors=True)
