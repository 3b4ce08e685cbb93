"""Standard output that may go away while a run goes on: a closed pipe, a terminal that was hung up, a full disk."""

import contextlib
import os
import sys


class Output:
    """Text to what `sys.stdout` was at construction, until that fails; from then on, nowhere."""

    def __init__(self) -> None:
        self._stream = sys.stdout
        self._broken = False
        self.encoding = self._stream.encoding

    def write(self, text: str) -> int:
        if not self._broken:
            try:
                self._stream.write(text)
            except (OSError, ValueError):  # ValueError: the stream was closed
                self._give_up()
        return len(text)

    def flush(self) -> None:
        if not self._broken:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._give_up()

    def isatty(self) -> bool:
        return not self._stream.closed and self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def _give_up(self) -> None:
        self._broken = True
        # The unwritten text stays in the stream's buffer, and Python's own flush at exit would fail on it and turn
        # the exit code into 120. https://docs.python.org/3/library/signal.html#note-on-sigpipe
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
