"""A run's log."""

import logging
import sys


class LogFile(logging.FileHandler):
    """The program's log, whose lines are lost without a word on a full disk.

    What the disk has no room for is told by who needs it: a traceback per line of a log would hide that.
    """

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)
