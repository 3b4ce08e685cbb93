import sys

import pytest

from simplexity.runs import EventKind, RunDirectory, read_ledger
from simplexity.sweeps import Outcome, RunState
from simplexity.sweeps._local_progress import PlainProgress
from simplexity.sweeps._manifest import common_overrides
from tests.sweeps.conftest import WORKER
from tests.terminal import on_terminal

SWEEP_PROGRAM = """
import pathlib, sys
from simplexity.host import PreemptionGuard
from simplexity.sweeps import SweepDirectory
from simplexity.sweeps._local import LocalExecution
from simplexity.sweeps._local_progress import LiveProgress, print_summary
from simplexity.sweeps._manifest import common_overrides
from simplexity.sweeps._slots import Slot
sweep = SweepDirectory.open(pathlib.Path(sys.argv[1]))
runs = sweep.read_manifest().runs
sweep.record_submission([run.index for run in runs])
with PreemptionGuard() as guard, LiveProgress(sweep, runs, common_overrides(runs)) as progress:
    outcomes = LocalExecution(
        sweep, runs, [Slot((), {})] * 2, guard, progress, working_folder=sweep.path, worker=sys.argv[2:]
    ).run()
sys.exit(print_summary(sweep, outcomes, stop_requested=guard.requested()))
"""


@pytest.mark.parametrize("columns", [80, 140])
def test_a_sweep_of_this_machine_on_a_terminal(make_sweep, columns):
    sweep = make_sweep({}, {"steps": 1000, "step_s": 0.05}, {}, {"raises_at": 2})
    with on_terminal([sys.executable, "-c", SWEEP_PROGRAM, str(sweep.path), *WORKER], columns=columns) as terminal:
        terminal.read_until("2/4 complete, 1 failed, 1 running")
        assert "#3 seed=3: failed: RuntimeError: the loss is not finite" in terminal.plain
        terminal.type("\x03")
        assert terminal.read_to_end() == 85
    assert "stopping: the runs save and exit" in terminal.plain
    assert "#1 seed=1: stopped\n" in terminal.plain
    written = terminal.plain.splitlines()
    assert written[-1].startswith("stopped with 2 of 4 runs complete; to resume the others: simplexity retry ")
    pictures = [line for line in written if line.startswith("run  ")]
    assert len(pictures) > 1
    assert max(map(len, pictures)) <= columns


def test_a_sweep_whose_terminal_is_hung_up_saves_and_can_be_gone_on_with(make_sweep):
    sweep = make_sweep(*[{"steps": 1000, "step_s": 0.05}] * 3)
    with on_terminal([sys.executable, "-c", SWEEP_PROGRAM, str(sweep.path), *WORKER], columns=80) as terminal:
        terminal.read_until("2 running")
        terminal.hang_up()
        assert terminal.process.wait(60) == 85
    kinds = [[event.kind for event in read_ledger(RunDirectory(sweep.path / str(i)).ledger_path)] for i in range(3)]
    assert [events[-1:] for events in kinds] == [[EventKind.PREEMPTED], [EventKind.PREEMPTED], []]


def test_without_a_terminal_each_end_is_a_line(make_sweep, capfd):
    runs = make_sweep({}, {}, {}).read_manifest().runs
    with PlainProgress(runs, common_overrides(runs)) as progress:
        progress.started(runs[1])
        progress.ended(Outcome(runs[1], RunState.FAILED, reason="out of\nmemory"))
        progress.ended(Outcome(runs[2], RunState.COMPLETE, 2.0, 0.5))
        progress.ended(Outcome(runs[0], RunState.STOPPED))
    assert capfd.readouterr().out.splitlines() == [
        "0/3 complete: #1 seed=1: failed: out of\\nmemory",
        "1/3 complete: #2 seed=2: final loss 2.00000 nats, excess 0.50000",
    ]
