import sys

import pytest

from simplexity.runs import EventKind, Ledger, RunLock
from tests.terminal import on_terminal

KEY = "training.optimizer.instance.learning_rate"


@pytest.mark.parametrize("columns", [80, 140])
def test_a_sweep_on_a_terminal_until_ctrl_c(make_sweep, columns):
    sweep = make_sweep({}, {}, {})
    directory = sweep.run_directory(sweep.read_manifest().run(1))
    watching = [sys.executable, "-P", "-m", "simplexity.cli", "status", str(sweep.path), "--watch"]
    with RunLock(directory.lock_path):
        Ledger(directory.ledger_path).append(EventKind.START, 0)
        with on_terminal(watching, columns=columns) as terminal:
            terminal.read_until("2 missing")
            terminal.type("\x03")
            assert terminal.read_to_end() == 0
        assert Ledger(directory.ledger_path).events[-1].kind == EventKind.START
    # The table was on a screen of its own, and its last state stays.
    last = terminal.plain[terminal.plain.rindex("run  ") :].splitlines()
    assert last[2].split()[:3] == ["1", "seed=1", "running"]
    assert last[-1].startswith("the runs go on; to follow them again: simplexity status ")
    del last[-1]
    assert max(map(len, last)) <= columns
    assert "\x1b[?1049h" in terminal.written
    assert terminal.written.rindex("\x1b[?1049l") < terminal.written.rindex("run  ")
