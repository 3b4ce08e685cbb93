"""The directory of checkpoints: one subdirectory per committed step, named by its number.

Whatever else lies there is no checkpoint, to us and to Orbax alike, whose step names are plain numbers. The names of
temporary folders end in the number of the holder of the run's lock that made them: a former holder, frozen and woken
up, touches none of the present one's.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from simplexity.runs import is_there, move_durably

# Orbax appends a suffix of its own while it writes; earlier versions wrote no number.
_TEMPORARY = re.compile(r"\d+\.(?:uncommitted|deleting)(?:-(?P<holder>\d+))?(?:\..*)?")
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
    except (FileNotFoundError, NotADirectoryError):
        return []


def uncommitted(directory: Path, step: int, holder: int) -> Path:
    """Where a checkpoint is written before it counts."""
    return directory / f"{step}.uncommitted-{holder}"


def commit(directory: Path, step: int, holder: int, require_held: Callable[[], object]) -> None:
    """Makes a complete checkpoint count, by a rename: there is no moment at which it counts in part.

    Args:
        directory: The directory of checkpoints.
        step: The checkpoint's.
        holder: Number of the holder that wrote it.
        require_held: As in `move_durably`.
    """
    move_durably(uncommitted(directory, step, holder), directory / str(step), require_held)


def require_space(directory: Path, num_bytes: int) -> None:
    """Checks that a checkpoint of arrays of `num_bytes` in all fits on the disk.

    TensorStore's threads print a traceback of their own when a write fails, before the error reaches us.

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
    while is_there(renamed := directory / f"{step}.corrupt-{number}"):
        number += 1
    return (directory / str(step)).rename(renamed)


def delete(directory: Path, step: int, holder: int) -> None:
    """Deletes a checkpoint. It is renamed first: a kill halfway through must not leave half a checkpoint."""
    doomed = (directory / str(step)).rename(directory / f"{step}.deleting-{holder}")
    shutil.rmtree(doomed, ignore_errors=True)


def delete_leftovers(directory: Path, holder: int) -> None:
    """Deletes temporary folders, of checkpoints that were never committed or are half deleted.

    Args:
        directory: The directory of checkpoints.
        holder: Number of this process as the holder of the run's lock; those of later holders stay.
    """
    for entry in list(directory.iterdir()):
        match = _TEMPORARY.fullmatch(entry.name)
        if match is not None and int(match["holder"] or 0) <= holder:
            # Renamed first, or a former holder that wakes up could commit one that is half deleted.
            with suppress(FileNotFoundError):
                shutil.rmtree(entry.rename(directory / f"{entry.name}.deleting"), ignore_errors=True)


def steps_text(steps: Sequence[int], other: str = "") -> str:
    """Which steps are saved, in words.

    Args:
        steps: The steps.
        other: "other " where one more step is saved, which the sentence is about; otherwise empty.
    """
    if not steps:
        return f"no {other}step is saved there"
    return f"{other}saved steps are {', '.join(map(str, steps))}"
