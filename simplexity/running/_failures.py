"""How a failure is reported: a line on standard error, the same or a traceback in the run's log, and an exit code."""

import inspect
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any

from simplexity.composition import ConfigError, describe_error, one_line
from simplexity.host import take_lost_streams
from simplexity.runs import ExitCode, error_text

# A logger that has only the run's log: the console gets one line on standard error instead.
_log = logging.getLogger("simplexity.failures")
# Until the log is open: without any handler, Python would print what `report` prints once more.
_log.addHandler(logging.NullHandler())


class LogFile(logging.FileHandler):
    """A run's log. On a full disk its lines are lost silently.

    Whatever needs the disk reports that it is full; a traceback for each line of a log would hide that report.
    Where the reader of what it prints is gone, the log says so before its next line.
    """

    def emit(self, record: logging.LogRecord) -> None:
        for lost in take_lost_streams():
            text = f"{lost}: what would be printed there is lost"
            super().emit(logging.LogRecord("simplexity", logging.WARNING, __file__, 0, text, None, None))
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


def is_expected(error: Exception) -> bool:
    """Whether the user or the machine caused an error. All others are mistakes of this program."""
    return isinstance(error, ConfigError | RuntimeError | OSError)


def log_failure(error: Exception) -> None:
    """Writes an error into the run's log, with its traceback if it is a mistake of this program."""
    _log.error("%s", describe_error(error), exc_info=None if is_expected(error) else error)


def place(error: Exception, function: Callable[..., Any] | None = None) -> str:
    """An error of code that this program has called, in one line: what it is, and where it happened.

    Args:
        error: What was raised.
        function: The user's function or class: the last line of its file that led to the error is named. None to
            name the line that raised.
    """
    text = f"{type(error).__name__}: {one_line(str(error).partition(chr(10))[0])}"
    frames = traceback.extract_tb(error.__traceback__)
    if function is not None:
        try:
            file = inspect.getsourcefile(function)
        except TypeError:
            return text
        frames = [frame for frame in frames if frame.filename == file]
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else text


def report(error: Exception, *, full_errors: bool = False) -> ExitCode:
    """Prints an error on standard error: one line, after a traceback if it is a mistake of this program.

    Args:
        error: What was raised.
        full_errors: Whether to print the traceback of any error.

    Returns:
        The exit code that the process should end with.
    """
    if full_errors or not is_expected(error):
        traceback.print_exception(error)
    sys.stderr.write(f"{error_text(describe_error(error), sys.stderr)}\n")
    return ExitCode.BAD_CONFIG if isinstance(error, ConfigError) else ExitCode.FAILED
