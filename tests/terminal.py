"""A program on a terminal of a given size, for the tests of what people see while it runs."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LIMIT_S = 120


class Terminal:
    """What a program has written so far, and a keyboard."""

    def __init__(self, descriptor: int, process: subprocess.Popen):
        self.process = process
        self.written = ""
        self._descriptor: int | None = descriptor

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def hang_up(self) -> None:
        """Closes the terminal, as a dropped connection does: the program gets SIGHUP, and can write no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def read_until(self, text: str) -> None:
        """Reads on until the program has written `text`, colours and movements of the cursor apart."""
        deadline = time.monotonic() + LIMIT_S
        while text not in self.plain:
            assert time.monotonic() < deadline, self.plain
            assert self._read(), self.plain

    def read_to_end(self) -> int:
        """Reads what is left; returns the exit code."""
        while self._read():
            pass
        return self.process.wait(LIMIT_S)

    @property
    def plain(self) -> str:
        return _ESCAPES.sub("", self.written).replace("\r", "")

    def _read(self) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], LIMIT_S)
        assert ready, f"nothing in {LIMIT_S} s after: {self.plain}"
        try:
            read = os.read(self._descriptor, 65536)
        except OSError:  # the program has closed its side
            return False
        self.written += read.decode(errors="replace")
        return bool(read)


@contextmanager
def on_terminal(command: Sequence[str], *, columns: int, lines: int = 24) -> Iterator[Terminal]:
    """Runs the command on a terminal, which it also gets Ctrl-C from."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    names = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    environment = {name: value for name, value in os.environ.items() if name not in names} | {"TERM": "xterm"}
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    terminal = Terminal(ours, process)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        terminal.hang_up()
