import os
import pty
import re
import select
import subprocess
import sys
import textwrap

import pytest

from simplexity.loggers import ConsoleLogger, RunFacts

SCRIPT = textwrap.dedent("""
    import time
    from simplexity.loggers import ConsoleLogger, RunFacts
    logger = ConsoleLogger(seconds_between_lines=5.0)
    logger.start(RunFacts(num_train_steps=3000, start_step=1000, tokens_per_step=64))
    for step in range(1000, 3001, 500):
        logger.progress(step)
        logger.log(step, {"loss": step / 10000, "optimum": 0.5})
        time.sleep(0.12)
        if step == 2000:
            print("another program's line")
    logger.close()
    logger.close()
    print("final loss 0.3")
""")


def run_on_terminal(environment):
    """What the script writes to a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", SCRIPT]
    settings = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "24"} | environment
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=settings) as process:
        os.close(theirs)
        output = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                output += os.read(ours, 65536)
            except OSError:  # Linux's way to say that the other end was closed
                break
    os.close(ours)
    assert process.returncode == 0, output.decode()
    return output.decode()


def test_a_terminal_shows_a_bar_that_starts_where_the_run_resumed():
    output = run_on_terminal({})
    assert "\x1b[" in output
    assert "━" in output
    assert "step 1,000/3,000" in output
    assert re.search(
        r"step 2,000/3,000 \| loss [\d.]+ \| optimum 0\.50000 \| [\d,]+ steps/s \| [\d.]+k? tokens/s \| 0:00:0\d left",
        output,
    )
    assert "step 3,000/3,000 | loss 0.30000 | optimum 0.50000" in output
    assert "another program's line" in output
    assert output.endswith("final loss 0.3\r\n")
    # The cursor, which the bar hides, is back.
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines():
    output = run_on_terminal({"TERM": "dumb"})
    assert "\x1b" not in output
    assert output.splitlines()[0] == "step 1,000/3,000"
    assert "step 3,000/3,000 | loss 0.30000 | optimum 0.50000" in output


@pytest.mark.parametrize("name", ["FORCE_COLOR", "TTY_COMPATIBLE", "CLICOLOR_FORCE"])
def test_a_file_gets_plain_lines_whatever_the_environment_says(name, capsys, monkeypatch):
    monkeypatch.setenv(name, "1")
    logger = ConsoleLogger(seconds_between_lines=60.0)
    logger.start(RunFacts(num_train_steps=300, start_step=0, tokens_per_step=64))
    for step in (100, 200, 300):
        logger.progress(step)
        logger.log(step, {"loss": step / 1000})
    logger.close()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "step 100/300"
    assert lines[1].startswith("step 300/300 | loss 0.30000")
    assert len(lines) == 2
    assert "\x1b" not in "".join(lines)
