"""How runs stand, by their files and by what SLURM is recorded to say."""

import json
import time
from types import SimpleNamespace

import pytest

from simplexity.runs import EventKind, Ledger, RunLock
from simplexity.sweeps import RunState, read_status, results_rows, status_lines
from simplexity.sweeps._sweep_status import select_for_retry
from tests.sweeps.conftest import queued, record

START, SAVED, PREEMPTED, FAILED = EventKind.START, EventKind.CHECKPOINT, EventKind.PREEMPTED, EventKind.FAILED


@pytest.fixture
def submitted(make_sweep, slurm_launch, slurm):
    """A sweep of one run, submitted as task 0 of job 7, with events -> how the run stands."""

    def state(queue, *kinds, accounting=None, reason=None):
        sweep = make_sweep({}, launch=slurm_launch())
        sweep.record_submission([0], "7")
        record(sweep, 0, *kinds, reason=reason)
        slurm["queue"], slurm["accounting"] = queue, accounting
        (run,) = read_status(sweep).runs
        return run

    return state


@pytest.mark.parametrize(
    ("queue", "kinds", "expected"),
    [
        ({"7_0": queued("PENDING")}, (), RunState.PENDING),
        ({"7_0": queued("RUNNING", "n1")}, (), RunState.RUNNING),
        ({"7_0": queued("PENDING")}, (START, SAVED, PREEMPTED), RunState.WAITING),
        ({"7_0": queued("COMPLETING")}, (START, SAVED, PREEMPTED), RunState.WAITING),
        ({"7_0": queued("PENDING")}, (START, SAVED), RunState.WAITING),
        ({"7_0": queued("FAILED")}, (START, FAILED), RunState.FAILED),
        ({"7_0": queued("COMPLETING")}, (START, FAILED), RunState.FAILED),
        ({"7_0": queued("FAILED")}, (), RunState.FAILED),
        ({"7_0": queued("OUT_OF_MEMORY")}, (START, SAVED), RunState.FAILED),
        ({"7_0": queued("FAILED")}, (START, SAVED, PREEMPTED), RunState.STOPPED),
        ({"7_0": queued("CANCELLED")}, (START, SAVED, PREEMPTED), RunState.CANCELLED),
        ({"7": queued("CANCELLED")}, (), RunState.CANCELLED),
        ({"7_0": queued("NODE_FAIL")}, (START,), RunState.LOST),
        # SLURM requeues what it has preempted, whatever its exit code.
        ({"7_0": queued("PENDING")}, (START, FAILED), RunState.WAITING),
        ({}, (), RunState.MISSING),
        ({}, (START, SAVED, PREEMPTED), RunState.STOPPED),
        ({}, (START, SAVED), RunState.LOST),
        # Complete once, and now to take more steps.
        ({}, (START, SAVED, EventKind.COMPLETE), RunState.STOPPED),
        (None, (), RunState.PENDING),
        (None, (START, SAVED, PREEMPTED), RunState.WAITING),
        (None, (START, SAVED), RunState.LOST),
        (None, (START, FAILED), RunState.FAILED),
    ],
)
def test_states(submitted, queue, kinds, expected):
    assert submitted(queue, *kinds).state == expected


@pytest.mark.parametrize(
    ("queue", "code", "kinds", "expected"),
    [
        # The disk was full, or the image gone, at the restart: the ledger does not know.
        ({"7_0": queued("FAILED")}, "1\n", (START, SAVED, PREEMPTED), RunState.FAILED),
        ({}, "2\n", (START, SAVED, PREEMPTED), RunState.FAILED),
        (None, "2\n", (), RunState.FAILED),
        ({}, "", (START,), RunState.FAILED),
        ({"7_0": queued("FAILED")}, "85\n", (START, SAVED, PREEMPTED), RunState.STOPPED),
        ({}, "137\n", (START, SAVED), RunState.LOST),
        ({"7_0": queued("CANCELLED")}, "1\n", (START, SAVED, PREEMPTED), RunState.CANCELLED),
        ({"7_0": queued("PENDING")}, "1\n", (START, SAVED, PREEMPTED), RunState.WAITING),
    ],
)
def test_what_failed_before_its_ledger_was_open(make_sweep, slurm_launch, slurm, queue, code, kinds, expected):
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], "7")
    record(sweep, 0, *kinds)
    sweep.log_path(0).parent.mkdir()
    sweep.log_path(0).write_text("stopped at step 2 by SIGUSR2\nthere is no image a.sif on n1\n")
    sweep.exit_code_path(0).write_text(code)
    slurm["queue"] = queue
    (run,) = read_status(sweep).runs
    assert run.state == expected
    assert ("there is no image a.sif on n1" in run.reason) is (expected in (RunState.FAILED, RunState.LOST))


def test_what_slurm_itself_has_ended_is_said(submitted):
    run = submitted({"7_0": queued("FAILED")}, START, SAVED, PREEMPTED)
    assert (run.state, run.reason) == (RunState.STOPPED, "SLURM ended its job, not the run: FAILED")


def test_a_run_that_tries_once_more_has_not_failed(make_sweep, slurm_launch, slurm):
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], "7")
    ledger = Ledger(sweep.run_directory(sweep.read_manifest().run(0)).ledger_path)
    ledger.append(START, 0)
    ledger.append(FAILED, 0, reason="OSError: stale", comes_back=True)
    for queue, state in (({"7_0": queued("COMPLETING")}, RunState.WAITING), ({}, RunState.FAILED)):
        slurm["queue"] = queue
        assert read_status(sweep).runs[0].state == state


def test_the_accounting_tells_what_the_queue_has_forgotten(submitted):
    ended = {"7_0": SimpleNamespace(state="OUT_OF_MEMORY")}
    run = submitted({}, START, accounting=ended)
    assert run.state == RunState.FAILED
    assert run.reason == "OUT_OF_MEMORY"


def test_a_retry_answers_an_earlier_failure_whatever_the_clocks_show(make_sweep, slurm_launch, slurm, monkeypatch):
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], "7")
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: 2e9)  # the node's clock is ahead of this machine's
        record(sweep, 0, START, FAILED)
    sweep.record_submission([0], "8")
    for state in ("PENDING", "COMPLETING"):
        slurm["queue"] = {"7_0": queued("FAILED"), "8_0": queued(state)}
        assert read_status(sweep).runs[0].state == RunState.WAITING


def test_a_run_that_goes_on_shows_how_fast(make_sweep):
    sweep = make_sweep({"steps": 100})
    directory = sweep.run_directory(sweep.read_manifest().run(0))
    lines = [{"step": 10 * i, "time_s": 2.0 * i, "loss": 1 / i, "excess": 0.5 / i} for i in (1, 2, 4)]
    directory.metrics_path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 5')
    with RunLock(directory.lock_path):
        record(sweep, 0, START)
        (run,) = read_status(sweep).runs
    assert (run.state, run.step, run.steps_per_s, run.loss_nats, run.excess_nats) == (
        RunState.RUNNING,
        40,
        5.0,
        0.25,
        0.125,
    )
    assert run.time_left_s == pytest.approx(12.0, abs=1)


def test_what_is_odd_about_a_complete_run_is_shown_whenever_it_is_looked_at(make_sweep):
    sweep = make_sweep({})
    directory = sweep.run_directory(sweep.read_run(0))
    directory.mark_complete(4, 5230.0, 0.5, 5229.5)
    # A look between the two must not keep what it sees.
    assert not any("guessing" in line for line in status_lines("s", read_status(sweep)))
    Ledger(directory.ledger_path).append(EventKind.COMPLETE, 4, reason="the loss is above that of guessing")
    for _ in range(2):
        status = read_status(sweep)
        assert status.runs[0].state == RunState.COMPLETE
        assert "run 0 complete: the loss is above that of guessing" in list(status_lines("s", status))
        assert results_rows(sweep, status)[0]["reason"] == "the loss is above that of guessing"


def test_a_process_that_holds_the_sweep_will_start_the_rest(make_sweep):
    sweep = make_sweep({}, {}, {})
    with sweep.lock():
        sweep.record_submission([0, 1])
        record(sweep, 1, START, SAVED, PREEMPTED)
        assert [run.state for run in read_status(sweep).runs] == [RunState.PENDING, RunState.WAITING, RunState.MISSING]
    status = read_status(sweep)
    assert [run.state for run in status.runs] == [RunState.MISSING, RunState.STOPPED, RunState.MISSING]
    assert status.has_ended


@pytest.mark.parametrize(
    ("failed", "missing", "expected"),
    [(False, False, []), (True, False, [0]), (False, True, [2]), (True, True, [0, 2])],
)
def test_what_a_retry_selects(make_sweep, execute, failed, missing, expected):
    sweep = make_sweep({"raises_at": 1}, {}, {})
    execute(sweep)
    (sweep.path / "2" / "COMPLETE").unlink()
    chosen = select_for_retry(read_status(sweep), failed=failed, missing=missing)
    assert [run.index for run in chosen] == expected
