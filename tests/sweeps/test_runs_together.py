"""A worker that executes several runs at the same time: each has its own log, end and failure."""

import os
import signal

from simplexity.runs import EventKind, ExitCode, read_ledger
from simplexity.sweeps import RunState, read_status
from simplexity.sweeps._worker_record import WorkerRecord

TOGETHER = {"at_once": 3}


def states(outcomes):
    return [outcome.state for outcome in outcomes]


def test_each_run_has_its_own_log_and_end_and_the_next_takes_its_place(make_sweep, execute):
    sweep = make_sweep(*[TOGETHER | more for more in ({"step_s": 0.1}, {"raises_at": 2}, {"leaves_at": [1]}, {}, {})])
    outcomes, notes = execute(sweep, slots=1)
    complete = RunState.COMPLETE
    assert states(outcomes) == [complete, RunState.FAILED, complete, complete, complete]
    assert notes.starts[:3] == [0, 1, 2]
    assert notes.starts.count(2) == 2
    # The slow run is still there when the last one has ended.
    assert notes.ends[-1] == 0
    assert sweep.log_path(0).read_text() == "begins at 0\n"
    assert sweep.log_path(2).read_text() == "begins at 0\nbegins at 1\n"
    assert len({(sweep.path / str(index) / "process").read_text() for index in (0, 2, 3, 4)}) == 1


def test_a_stop_request_reaches_all_and_they_come_first_when_the_worker_is_back(make_sweep, execute):
    sweep = make_sweep(*[TOGETHER | {"steps": 60, "step_s": 0.05}] * 5)

    def stop():
        if all(sweep.log_path(index).exists() and sweep.log_path(index).stat().st_size for index in range(3)):
            os.kill(os.getpid(), signal.SIGTERM)
            return True
        return False

    outcomes, _ = execute(sweep, slots=1, at_start=stop)
    assert states(outcomes) == [RunState.STOPPED] * 5
    for index in range(3):
        ledger = read_ledger(sweep.path / str(index) / "run.jsonl")
        assert [event.kind for event in ledger[-2:]] == [EventKind.CHECKPOINT, EventKind.PREEMPTED]
    (path,) = (sweep.folder / "workers").glob("*.jsonl")
    lines = list(WorkerRecord(path).read_new())
    assert sorted(lines[:3]) == [(0, None), (1, None), (2, None)]
    assert sorted(lines[3:]) == [(index, ExitCode.REQUEUE) for index in range(3)]


def test_a_run_that_kills_its_worker_does_not_take_the_others_along(make_sweep, execute):
    """After two such starts, both that were there are executed alone."""
    sweep = make_sweep(TOGETHER | {"dies_at": 1, "step_s": 0.2}, TOGETHER | {"step_s": 0.3}, TOGETHER)
    outcomes, _ = execute(sweep, slots=1)
    assert states(outcomes) == [RunState.FAILED, RunState.COMPLETE, RunState.COMPLETE]
    assert outcomes[0].reason.startswith(
        "it has ended its worker 3 times; in one of its starts, its process was killed by SIGKILL"
    )
    assert [run.state for run in read_status(sweep).runs] == states(outcomes)


def test_the_first_failed_run_stops_the_others_where_it_is_to(make_sweep, execute):
    sweep = make_sweep(TOGETHER | {"raises_at": 2, "step_s": 0.5}, TOGETHER | {"steps": 10_000, "step_s": 0.05})
    outcomes, _ = execute(sweep, slots=1, stop_on_failure=True)
    assert states(outcomes) == [RunState.FAILED, RunState.STOPPED]
    last = read_ledger(sweep.path / "1" / "run.jsonl")[-1]
    assert last.kind == EventKind.PREEMPTED
