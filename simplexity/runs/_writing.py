"""Writing files on disks that fill up or lose power.

After a kill or a power failure a file is the old one or the new one, whole. Everything that must not be lost is written
here: a file by `write_durably`, a folder by `move_durably`, a line by `append_json_line`, which uses the same parts.
"""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

from ._reading import naming, refuse, retry_read

# The temporary files of `write_durably`, but for those of hidden files.
_TEMPORARY = re.compile(r"\.[^.].*\.[0-9a-f]{8}\.tmp")
_REMEDIES = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "your quota there is used up: free some of it",
    errno.EACCES: "ask for the permission to write there",
    errno.EROFS: "make it writable",
}


def reason(error: OSError, otherwise: str = "") -> str:
    """Why a file could not be written, and what helps: "No space left on device; free some space there".

    Args:
        error: What the system said.
        otherwise: A further remedy, which helps whatever the error is.
    """
    remedies = [remedy for remedy in (_REMEDIES.get(error.errno or 0), otherwise) if remedy]
    return "; ".join([error.strerror or type(error).__name__, *([", or ".join(remedies)] if remedies else [])])


def write_durably(
    path: Path,
    content: str | bytes,
    require_held: Callable[[], object] = lambda: None,
    *,
    mode: int = 0o666,
    syncs_name: bool = True,
) -> None:
    """Replaces `path` in one step, and returns once the content and the name are on disk.

    Args:
        path: File to write; what was there stays in place until the new content is on disk.
        content: Text is written as UTF-8.
        require_held: Called first, and just before the content takes the name, to raise if another process has taken
            over the folder (`RunLock.require_held`).
        mode: Who may read and write the file, less what the umask takes away.
        syncs_name: False: the caller puts the names of several files on disk at once, with `sync_directory`.

    Raises:
        OSError: If the file cannot be written; what was there is unchanged.
    """
    # First, because a former holder that wakes up may be ended by another of its threads before this one tidies up.
    require_held()
    # A name of its own for every write, since processes on several machines may write the same file. The rename is
    # atomic only within one file system: hence the same folder.
    # A process that takes over a run deletes these files (`delete_temporaries`) before it reads anything, so that a
    # former holder that is frozen between the check below and the rename has nothing left to rename.
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            with naming(path):
                write_all(descriptor, content.encode() if isinstance(content, str) else content)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        require_held()
        try:
            os.replace(temporary, path)
        except FileNotFoundError:
            # Another process took over after the check, and has deleted the file: the check now says so.
            require_held()
            raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if syncs_name:
        sync_directory(path.parent)


def delete_temporaries(folder: Path) -> None:
    """Deletes what other processes have written and not yet renamed in `write_durably`; their renames then fail.

    Files whose own name begins with a dot stay: a process that does not hold the run's lock tries whether it can write.

    Raises:
        UnreadableError: If the folder cannot be listed.
        OSError: If a file cannot be deleted.
    """
    for name in retry_read(lambda: os.listdir(folder)):
        if _TEMPORARY.fullmatch(name):
            (folder / name).unlink(missing_ok=True)


def move_durably(source: Path, target: Path, require_held: Callable[[], object] = lambda: None) -> None:
    """Renames a folder in one step, and returns once all that is in it and its new name are on disk.

    Args:
        source: The folder; nothing writes into it any more.
        target: Its new name, in the same folder; nothing has it yet.
        require_held: As in `write_durably`.

    Raises:
        OSError: If something cannot be put on disk, or the name is taken.
    """
    for folder, _, names in os.walk(source, topdown=False, onerror=refuse):
        for name in names:
            _sync(Path(folder, name), os.O_RDONLY)
        sync_directory(Path(folder))
    require_held()
    source.rename(target)
    sync_directory(target.parent)


def write_all(descriptor: int, content: bytes) -> None:
    """Writes every byte; a nearly full disk takes the first bytes and refuses only the next call."""
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


def sync_directory(directory: Path) -> None:
    """Puts the directory's entries on disk: a file's own fsync does not cover its name.

    Raises:
        OSError: If that fails, or there is no such directory. A file system that has no such operation is no error.
    """
    _sync(directory, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and user-space file systems have no such operation; nothing more can be done there.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
