import sys
from types import SimpleNamespace

import pytest

from simplexity.cluster import SlurmError
from simplexity.runs import EventKind, Ledger, RunLock
from simplexity.sweeps import _scheduler_state, _watch, watch
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
    assert last[-1].startswith("the runs keep running; to watch them again: simplexity status ")
    del last[-1]
    assert max(map(len, last)) <= columns
    assert "\x1b[?1049h" in terminal.written
    assert terminal.written.rindex("\x1b[?1049l") < terminal.written.rindex("run  ")


def test_in_a_pipe_it_says_that_slurm_does_not_answer_and_a_cancelled_run_stays_so(
    make_sweep, slurm_launch, monkeypatch, capfd
):
    sweep = make_sweep({}, {}, launch=slurm_launch())
    sweep.record_submission([0, 1], "7")
    for run in sweep.read_manifest().runs:
        Ledger(sweep.run_directory(run).ledger_path).append(EventKind.PREEMPTED, 0, reason="SIGUSR2")
    ended, going = SimpleNamespace(state="CANCELLED", nodes=""), SimpleNamespace(state="PENDING", nodes="")
    answers = [{"7_0": ended, "7_1": going}, None, None, {"7_0": ended, "7_1": going}, {"7_0": ended, "7_1": ended}]

    def queue(jobs):
        if (answer := answers.pop(0)) is None:
            raise SlurmError("`squeue` failed: Unable to contact slurm controller")
        return answer

    monkeypatch.setattr(_scheduler_state, "queued_tasks", queue)
    monkeypatch.setattr(_watch, "_REFRESH_S", 0.0)
    assert watch(sweep).has_ended
    lines = [line.partition(";")[0] for line in capfd.readouterr().out.splitlines()]
    assert lines[:3] == [
        "2 runs: 1 waiting, 1 cancelled",
        "`squeue` failed: Unable to contact slurm controller (the states come from the runs' files alone)",
        "2 runs: 2 cancelled",
    ]
