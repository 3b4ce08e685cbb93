"""The log of a run: plain messages on standard output, and the same with time and origin in a file of its own."""

import logging
import logging.config
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ._failures import LogFile

_FULL = "[%(asctime)s][%(name)s][%(levelname)s] %(message)s"
_file_of_thread: ContextVar[LogFile | None] = ContextVar("the log of a run", default=None)


def log_to(path: Path) -> None:
    """Logs to this file from now on, as Hydra sets it up."""
    try:
        _configure({"()": LogFile, "formatter": "full", "filename": str(path), "encoding": "utf-8"})
    except ValueError as error:
        # Of a file that cannot be opened, such as another user's.
        raise error.__cause__ if isinstance(error.__cause__, OSError) else error from None


def log_by_thread() -> None:
    """Logs what a thread logs to the file of that thread: see `thread_logs_to`."""
    _configure({"()": _FileOfThread})


@contextmanager
def thread_logs_to(path: Path) -> Iterator[None]:
    """Within the `with` block, the file of this thread is this one."""
    file = LogFile(path, encoding="utf-8")
    file.setFormatter(logging.Formatter(_FULL))
    before = _file_of_thread.set(file)
    try:
        yield
    finally:
        _file_of_thread.reset(before)
        with suppress(OSError):  # a full disk
            file.close()


def close_logs() -> None:
    """Closes the log of a run that has ended: what this process logs now belongs to no run."""
    for name in (None, "simplexity.failures"):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            if isinstance(handler, logging.FileHandler):
                logger.removeHandler(handler)
                with suppress(OSError):  # a full disk
                    handler.close()


class _FileOfThread(logging.Handler):
    """Hands a record to the log of the run whose thread has made it. Threads that a run starts have none."""

    def emit(self, record: logging.LogRecord) -> None:
        file = _file_of_thread.get()
        if file is not None:
            file.handle(record)


def _configure(file: dict[str, Any]) -> None:
    settings = {
        "version": 1,
        "formatters": {"plain": {"format": "%(message)s"}, "full": {"format": _FULL}},
        "handlers": {
            "console": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stdout"},
            "file": file,
        },
        # Below a warning, other libraries log what is no concern of a run; failures are a line on stderr instead.
        "root": {"level": "WARNING", "handlers": ["console", "file"]},
        "loggers": {
            "simplexity": {"level": "INFO"},
            "simplexity.failures": {"handlers": ["file"], "propagate": False},
        },
        "disable_existing_loggers": False,
    }
    logging.config.dictConfig(settings)
