"""Ctrl-C on a real terminal: the first saves and says how to resume, the second exits at once."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from .small_runs import command, environment, slow_disk

ENDLESS = (
    "training.num_train_steps=100000000",
    "training.log_every=100000000",
    "validation.every=100000000",
    "persistence.instance.save_every_steps=null",
)
# Runs a command on a terminal of its own, with our pipes at the other end.
ON_TERMINAL = """
import os, pty, sys
status = pty.spawn(sys.argv[1:])
print("exit code", os.waitstatus_to_exitcode(status), flush=True)
"""
NOTICE = "Interrupted: saving, then exiting. Press Ctrl-C again to exit at once."


class Terminal:
    """A terminal in which a command runs."""

    def __init__(self, words: list[str], variables: dict[str, str]):
        wrapped = [sys.executable, "-c", ON_TERMINAL, *words]
        settings = variables | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        self._process = subprocess.Popen(wrapped, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.set_blocking(self._process.stdout.fileno(), False)
        self.shown = ""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 200
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            time.sleep(0.02)
            self.read()

    def read(self) -> None:
        self.shown += (self._process.stdout.read() or b"").decode(errors="replace")

    def press_ctrl_c(self) -> None:
        self._process.stdin.write(b"\x03")
        self._process.stdin.flush()

    def exit_code(self) -> int:
        self.wait_for("exit code")
        self._process.communicate(timeout=60)
        return int(re.findall(r"exit code (-?\d+)", self.shown)[-1])


@pytest.fixture
def terminal(cache, tmp_path):
    # Slow, so that there is time to press a key while it saves.
    variables = environment(cache) | slow_disk(tmp_path, seconds_per_file=0.5)
    return Terminal(command(tmp_path / "run", "gru", *ENDLESS), variables)


def test_ctrl_c_saves_and_says_how_to_go_on(terminal, tmp_path):
    terminal.wait_for("steps/s")
    terminal.press_ctrl_c()
    terminal.wait_for(NOTICE)
    # While it saves, which takes more than a second, no bar is drawn over the notice.
    time.sleep(0.8)
    terminal.read()
    assert "steps/s" not in terminal.shown.partition(NOTICE)[2]
    assert terminal.exit_code() == 85
    resume = f"simplexity resume '?{tmp_path}/run'?"
    after = terminal.shown.partition(NOTICE)[2]
    assert re.match(rf" To resume later: {resume}\r\n", after)
    assert re.search(rf"stopped at step \d+ by interrupt; to resume: {resume}\r\n", after)
    assert list((tmp_path / "run" / "checkpoints").glob("[1-9]*"))


def test_ctrl_c_once_more_leaves_at_once_with_the_terminal_in_order(terminal, tmp_path):
    terminal.wait_for("steps/s")
    terminal.press_ctrl_c()
    terminal.wait_for(NOTICE)
    time.sleep(0.4)  # a second press, and no echo of the first
    terminal.press_ctrl_c()
    assert terminal.exit_code() == -signal.SIGINT
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l")
    assert "Traceback" not in terminal.shown
    assert not list((tmp_path / "run" / "checkpoints").glob("*[0-9]"))
