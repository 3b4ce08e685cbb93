import os
import signal

import pytest

from simplexity.runs import EventKind, ExitCode, RunDirectory, RunLock, read_ledger
from simplexity.sweeps import RunState, print_summary, read_status

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
        "it has ended its worker 3 times; in one of its starts, its process was killed by SIGKILL (out of memory?): "
        "about to die",
        "it ended with exit code 1: cannot even begin",
    ]
    assert [run.reason for run in read_status(sweep).runs[:3]] == [outcome.reason for outcome in outcomes[:3]]


def test_the_first_failed_run_stops_the_others_where_it_is_to(make_sweep, execute):
    sweep = make_sweep({"raises_at": 2, "step_s": 1.5}, {"steps": 10_000, "step_s": 0.05}, {"steps": 3})
    outcomes, notes = execute(sweep, stop_on_failure=True)
    assert states(outcomes)[:2] == [RunState.FAILED, RunState.STOPPED]
    # A worker may have begun it before it heard of the stop.
    assert states(outcomes)[2] in (RunState.STOPPED, RunState.COMPLETE)
    assert notes.stopped
    # What was running has saved.
    assert events(sweep, 1)[-2:] == [EventKind.CHECKPOINT, EventKind.PREEMPTED]
    assert print_summary(sweep, outcomes, stop_requested=False) == ExitCode.FAILED


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
    assert sorted(notes.starts) == [0, 1]
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


def test_a_worker_executes_many_runs_in_one_process(make_sweep, execute):
    sweep = make_sweep(*[{}] * 6)
    execute(sweep, slots=1)
    assert len({(sweep.path / str(index) / "process").read_text() for index in range(6)}) == 1
    assert (sweep.log_path(5)).read_text() == "begins at 0\n"


def test_runs_that_cannot_share_a_process_are_executed_by_fresh_ones(make_sweep, execute):
    sweep = make_sweep(*({"variant": "ab"[index % 2]} for index in range(6)))
    outcomes, _ = execute(sweep, slots=1)
    assert states(outcomes) == [RunState.COMPLETE] * 6
    processes = [(sweep.path / str(index) / "process").read_text() for index in range(6)]
    assert processes == [processes[0], processes[1]] * 3
    assert processes[0] != processes[1]


@pytest.mark.slow
def test_a_run_that_kills_its_worker_keeps_what_it_has_saved_and_the_others_go_on(make_sweep, execute):
    sweep = make_sweep({}, {"dies_at": 2}, {}, {})
    outcomes, notes = execute(sweep, slots=1)
    assert states(outcomes) == [RunState.COMPLETE, RunState.FAILED, RunState.COMPLETE, RunState.COMPLETE]
    # The worker begins with the run that it had, until that is given up.
    assert notes.starts == [0, 1, 1, 1, 2, 3]
    again, notes = execute(sweep, slots=1)
    assert states(again) == states(outcomes)
    assert notes.starts == [1, 1, 1]


def test_a_run_that_another_worker_has_is_waited_for(make_sweep, execute):
    sweep = make_sweep({}, {})
    lock = RunLock(RunDirectory(sweep.path / "1").lock_path).acquire()

    def release():
        if not (sweep.path / "0/COMPLETE").exists():
            return False
        lock.release()
        return True

    outcomes, notes = execute(sweep, slots=1, at_start=release)
    assert states(outcomes) == [RunState.COMPLETE] * 2
    assert sorted(notes.starts) == [0, 1]
