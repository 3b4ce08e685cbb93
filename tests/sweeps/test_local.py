import os
import signal

import pytest

from simplexity.runs import EventKind, read_ledger
from simplexity.sweeps import RunState, read_status

HOSTILE = "a b'c\"d $HOME `id` %a \nü;&#"


def states(outcomes):
    return [outcome.state for outcome in outcomes]


def events(sweep, index):
    return [event.kind for event in read_ledger(sweep.path / str(index) / "run.jsonl")]


@pytest.mark.parametrize("name", ["sweep", HOSTILE])
def test_all_runs_complete(make_sweep, execute, name):
    sweep = make_sweep({}, {"steps": 2}, {}, name=name)
    outcomes, notes = execute(sweep)
    assert states(outcomes) == [RunState.COMPLETE] * 3
    assert [outcome.loss_nats for outcome in outcomes] == [0.25, 0.5, 0.25]
    assert sorted(notes.starts) == sorted(notes.ends) == [0, 1, 2]
    again, notes = execute(sweep)
    assert again == outcomes
    assert notes.starts == []


def test_a_failed_run_is_no_end_of_the_others(make_sweep, execute):
    sweep = make_sweep({"raises_at": 2}, {"dies_at": 2}, {"silent": True}, {})
    outcomes, _ = execute(sweep, slots=1)
    assert states(outcomes) == [RunState.FAILED] * 3 + [RunState.COMPLETE]
    assert [outcome.reason for outcome in outcomes[:3]] == [
        "RuntimeError: the loss is not finite",
        "its process was killed by SIGKILL (out of memory?): about to die",
        "its process exited with code 1: cannot even begin",
    ]
    assert [run.reason for run in read_status(sweep).runs[:3]] == [outcome.reason for outcome in outcomes[:3]]


def test_what_wants_to_be_started_again_is(make_sweep, execute):
    sweep = make_sweep({"leaves_at": [2]}, {})
    outcomes, notes = execute(sweep, slots=1)
    assert states(outcomes) == [RunState.COMPLETE] * 2
    assert notes.starts == [0, 1, 0]
    assert (sweep.log_path(0)).read_text() == "begins at 0\nbegins at 2\n"


def test_no_more_at_a_time_than_there_is_room_for_each_on_its_own_cores(make_sweep, execute):
    cores = sorted(os.sched_getaffinity(0))[:2]
    sweep = make_sweep(*[{"step_s": 0.2}] * 6)
    execute(sweep, cores=[(core,) for core in cores])
    folders = [sweep.path / str(index) for index in range(6)]
    assert {(folder / "cores").read_text() for folder in folders} == {f"[{core}]" for core in cores}
    changes = []
    for folder in folders:
        times = [event.time for event in read_ledger(folder / "run.jsonl")]
        changes += [(times[0], 1), (times[-1], -1)]
    at_a_time = [sum(change for _, change in sorted(changes)[: i + 1]) for i in range(len(changes))]
    assert max(at_a_time) == len(cores)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_when_a_stop_is_requested_all_save(make_sweep, execute, number):
    sweep = make_sweep(*[{"steps": 400, "step_s": 0.05}] * 3)

    def stop():
        if all(sweep.log_path(index).exists() and sweep.log_path(index).stat().st_size for index in (0, 1)):
            os.kill(os.getpid(), number)
            return True
        return False

    outcomes, notes = execute(sweep, at_start=stop)
    assert states(outcomes) == [RunState.STOPPED] * 3
    assert notes.stopped
    assert notes.starts == [0, 1]
    assert events(sweep, 0)[-2:] == [EventKind.CHECKPOINT, EventKind.PREEMPTED]
    assert [run.state for run in read_status(sweep).runs] == [RunState.STOPPED, RunState.STOPPED, RunState.MISSING]


def test_an_error_of_this_process_leaves_no_worker_behind(make_sweep, execute):
    sweep = make_sweep(*[{"steps": 400, "step_s": 0.05}] * 2)

    def fail():
        if all(sweep.log_path(index).exists() and sweep.log_path(index).stat().st_size for index in (0, 1)):
            raise RuntimeError("this process fails")

    with pytest.raises(RuntimeError, match="this process fails"):
        execute(sweep, at_start=fail)
    assert [events(sweep, index)[-1] for index in (0, 1)] == [EventKind.PREEMPTED] * 2
