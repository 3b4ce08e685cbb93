"""Reading and writing files on disks that fill up, lose power, or belong to a file server that stops answering.

After a kill or a power failure a file is the old one or the new one, whole. Everything that must not be lost is written
here: a file by `write_durably`, a folder by `move_durably`, a line by `append_json_line`, which uses the same parts. An
error in reading means nothing about the file's content, so `retry_read` reads once more.
"""

import errno
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

ReadT = TypeVar("ReadT")

_log = logging.getLogger(__name__)
# A hiccup of a network file system passes in seconds. What lasts longer is for a later start.
_PAUSES_S = (0.5, 1.5, 4.0)
# The temporary files of `write_durably`, but for those of hidden files.
_TEMPORARY = re.compile(r"\.[^.].*\.[0-9a-f]{8}\.tmp")
_REMEDIES = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "your quota there is used up: free some of it",
    errno.EACCES: "ask for the permission to write there",
    errno.EROFS: "make it writable",
}


def reason(error: OSError) -> str:
    """Why a file could not be written, and what helps: "No space left on device; free some space there"."""
    remedy = _REMEDIES.get(error.errno or 0)
    return (error.strerror or type(error).__name__) + (f"; {remedy}" if remedy else "")


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
        OSError: If the folder cannot be listed, or a file cannot be deleted.
    """
    for name in os.listdir(folder):
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
    for folder, _, names in os.walk(source, topdown=False, onerror=_refuse):
        for name in names:
            _sync(Path(folder, name), os.O_RDONLY)
        sync_directory(Path(folder))
    require_held()
    source.rename(target)
    sync_directory(target.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the file's name to an error about its descriptor, which by itself does not name the file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_all(descriptor: int, content: bytes) -> None:
    """Writes every byte; a nearly full disk takes the first bytes and refuses only the next call."""
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


def sync_directory(directory: Path) -> None:
    """Puts the directory's entries on disk: a file's own fsync does not cover its name."""
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


def read_file(path: Path) -> bytes:
    """The content of a file; an error in reading what was opened names it too, which `Path.read_bytes` leaves out."""
    with naming(path):
        return path.read_bytes()


class UnreadableError(RuntimeError):
    """A file that is there could not be read, several times: nothing is known about what it holds."""


def sleep(seconds: float) -> bool:
    """Sleeps, and returns False: no stop was requested. The `wait` of a process without a `PreemptionGuard`."""
    time.sleep(seconds)
    return False


def retry_read(read: Callable[[], ReadT], wait: Callable[[float], bool] = sleep) -> ReadT:
    """What `read` returns, which is called up to four times while it raises an OSError.

    Args:
        read: Reads from the beginning each time it is called.
        wait: Sleeps for this many seconds and returns whether to stop trying, as `PreemptionGuard.wait` does.

    Raises:
        FileNotFoundError: At once, if `read` raises it: a file that is not there is an answer.
        NotADirectoryError: Likewise: nothing is in what is no folder.
        UnreadableError: In one line, if the last try failed too.
    """
    for pause_s in (*_PAUSES_S, None):
        try:
            return read()
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            message = f"`{error.filename}` cannot be read: {error.strerror or error}"
            if pause_s is None or wait(pause_s):
                raise UnreadableError(f"{message}; start again when it can be read") from error
            _log.warning("%s; trying again", message)
    raise AssertionError("the last try returns or raises")


class RetryBudget:
    """`retry_read` for the files of many runs, which are all on one file server that may be gone.

    Where the tries at one run's files were in vain, those of the next runs are read once each, until some can be read.

    Args:
        wait: As in `retry_read`.
    """

    def __init__(self, wait: Callable[[float], bool] = sleep):
        self._wait = wait
        self._is_used_up = False

    def read(self, read: Callable[[], ReadT]) -> ReadT:
        """What `read` returns or raises, which reads all that is to be known of one run; see `retry_read`."""
        wait = (lambda pause_s: True) if self._is_used_up else self._wait
        try:
            answer = retry_read(read, wait)
        except UnreadableError:
            self._is_used_up = True
            raise
        except Exception:  # an answer too: the file was read
            self._is_used_up = False
            raise
        self._is_used_up = False
        return answer


def is_there(path: Path, wait: Callable[[float], bool] = sleep) -> bool:
    """Whether there is a file or a folder of this name.

    `Path.exists` and `Path.is_file` say no where they could not find out (which errors they hide differs between
    versions of Python), and a run that is taken for a new one on such an answer is overwritten.

    Args:
        path: The name; a symbolic link is followed.
        wait: As in `retry_read`.

    Raises:
        UnreadableError: In one line, if it could not be found out, several times.
    """
    return _mode(path, wait) is not None


def folder_problem(path: Path, what: str) -> str | None:
    """Why there can be no `what`, such as "run", in a folder that a command names; None if there is such a folder.

    Raises:
        UnreadableError: In one line, if it could not be found out, several times.
    """
    mode = _mode(path)
    if mode is None:
        return "there is no such folder"
    return None if stat.S_ISDIR(mode) else f"it is a file; name the {what}'s folder"


def _mode(path: Path, wait: Callable[[float], bool] = sleep) -> int | None:
    try:
        return retry_read(lambda: os.stat(path).st_mode, wait)
    except (FileNotFoundError, NotADirectoryError):
        return None


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, at any depth; the files of a folder come before the folders in it.

    Raises:
        OSError: If a folder cannot be listed; `Path.rglob` and `os.walk` by itself would leave its files out.
    """
    for parent, _, names in os.walk(folder, onerror=_refuse):
        yield from (Path(parent, name) for name in names)


def _refuse(error: OSError) -> None:
    raise error
