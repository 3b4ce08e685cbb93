"""Reading once more where a file server did not answer: an error of the system says nothing about the file itself."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

ReadT = TypeVar("ReadT")

_log = logging.getLogger(__name__)
# A hiccup of a network file system passes in seconds. What lasts longer is for a later start.
_PAUSES_S = (0.5, 1.5, 4.0)


class UnreadableError(RuntimeError):
    """A file that is there could not be read, several times: nothing is known about what it holds."""


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def retry_read(read: Callable[[], ReadT], wait: Callable[[float], bool] = _sleep) -> ReadT:
    """What `read` returns, which is called up to four times while it raises an OSError.

    Args:
        read: Reads from the beginning each time it is called.
        wait: Sleeps for this many seconds and returns whether to stop trying, as `PreemptionGuard.wait` does.

    Raises:
        FileNotFoundError: At once, if `read` raises it: a file that is not there is an answer.
        UnreadableError: In one line, if the last try failed too.
    """
    for pause_s in (*_PAUSES_S, None):
        try:
            return read()
        except FileNotFoundError:
            raise
        except OSError as error:
            message = f"`{error.filename}` cannot be read: {error.strerror or error}"
            if pause_s is None or wait(pause_s):
                raise UnreadableError(f"{message}; start again when it can be read") from error
            _log.warning("%s; trying again", message)
    raise AssertionError("the last try returns or raises")
