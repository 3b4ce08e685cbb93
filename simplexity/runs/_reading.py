"""Reading files of a file server that may stop answering for a while: an error says nothing about a file's content.

So `retry_read` reads once more, and no answer is taken for "there is no such file" but that one.
"""

import logging
import os
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


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the file's name to an error about its descriptor, which by itself does not name the file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_file(path: Path) -> bytes:
    """The content of a file.

    Raises:
        OSError: If it cannot be opened or read. It names the file, which that of `Path.read_bytes` does not if the file
            could be opened.
    """
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
    """Why there can be nothing to read in a folder that a command names; None if there is such a folder.

    Args:
        path: As the command names it.
        what: What the command looks for in it, such as "run".

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
    for parent, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(parent, name) for name in names)


def refuse(error: OSError) -> None:
    """The `onerror` of `os.walk`, which by itself passes over a folder that cannot be listed."""
    raise error
