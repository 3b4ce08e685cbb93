"""`simplexity show` while it is running, after it was killed, and on a narrow terminal."""

import json
import time

import pytest

from simplexity.runs import EventKind, Ledger, RunLock
from simplexity.sweeps import read_status, run_text


@pytest.fixture
def directory(make_sweep):
    """A run that has saved step 10 and logged step 70, 60 seconds later."""
    sweep = make_sweep({"steps": 100})
    directory = sweep.run_directory(sweep.read_manifest().run(0))
    ledger = Ledger(directory.ledger_path)
    for step, kind in ((0, EventKind.START), (1, EventKind.FIRST_STEP), (10, EventKind.CHECKPOINT)):
        ledger.append(kind, step)
    line = {"step": 70, "time_s": 70.0, "loss": 0.5, "timestamp": time.time() + 60}
    directory.metrics_path.write_text(json.dumps(line) + "\n")
    return directory


def test_what_is_shown_of_a_run_moves_between_its_saves(directory):
    with RunLock(directory.lock_path):
        text = run_text(directory)
    assert " 0       70      1  1 min  running" in text
    assert "running; saved up to step 10" in text
    assert "total 1 min: 100 % training" in text


def test_the_totals_of_a_sweep_move_too(directory, make_sweep):
    from simplexity.sweeps import SweepDirectory

    with RunLock(directory.lock_path):
        status = read_status(SweepDirectory.open(directory.path.parent))
    assert status.runs[0].step == 70
    assert status.goodput.computing_s == pytest.approx(60, abs=5)


def test_a_killed_run_is_shown_up_to_its_last_logged_step(directory):
    text = run_text(directory)
    assert " 0       70      1  1 min  ended unexpectedly: killed, or the machine crashed" in text
    assert text.splitlines()[-1].startswith("to resume it: simplexity resume ")


def test_a_narrow_terminal_shows_a_reason_whole(directory):
    reason = "RuntimeError: " + "the file system said no, " * 8
    Ledger(directory.ledger_path).append(EventKind.FAILED, 70, reason=reason)
    lines = run_text(directory, width=80, colour=True).splitlines()
    assert lines[0].startswith("\x1b[1mattempt")
    assert max(len(line) for line in lines[1:-1]) <= 80 + len("\x1b[31m\x1b[0m")
    assert f"attempt 1 failed: {reason.strip()}" in " ".join(line.strip() for line in lines)


def test_nothing_advises_to_resume_a_loss_that_is_not_finite(directory):
    Ledger(directory.ledger_path).append(EventKind.FAILED, 70, reason="RuntimeError: the loss is not finite at step 71")
    assert "simplexity resume" not in run_text(directory)
