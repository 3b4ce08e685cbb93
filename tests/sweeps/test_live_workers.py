"""Workers that nothing watches: what started them is gone, or a person has started them."""

import signal
import subprocess
import time

import pytest

from simplexity.runs import EventKind, ExitCode, RunLock, read_ledger
from simplexity.sweeps import LocalLaunch, RunState, cancel, read_status, stop_others
from simplexity.sweeps._queue import record_failure
from simplexity.sweeps._stop_requests import request_stop
from tests.sweeps.conftest import WORKER
from tests.terminal import on_terminal

STOPS = LocalLaunch(max_parallel=2, cores_per_run=None, on_failure="stop")
LONG = {"steps": 10_000, "step_s": 0.05}


def states(sweep):
    return [run.state for run in read_status(sweep).runs]


def wait_until(condition):
    limit_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit_s
        time.sleep(0.05)


@pytest.mark.parametrize("place", [("--place", "local_0/0/1"), ()])
def test_status_counts_on_a_worker_that_lives_without_its_sweep_and_cancel_stops_it(make_sweep, start_worker, place):
    sweep = make_sweep({}, LONG, {})
    sweep.record_submission(range(3))
    assert states(sweep) == [RunState.MISSING] * 3
    worker = start_worker(sweep, *place)
    wait_until(lambda: states(sweep) == [RunState.COMPLETE, RunState.RUNNING, RunState.PENDING])
    assert cancel(sweep) == "requested a stop of 1 worker; their runs save and exit"
    assert worker.wait(30) == ExitCode.REQUEUE
    assert states(sweep) == [RunState.COMPLETE, RunState.STOPPED, RunState.MISSING]


def test_a_worker_that_was_killed_is_not_counted_on(make_sweep, start_worker):
    sweep = make_sweep(LONG, {})
    sweep.record_submission(range(2))
    worker = start_worker(sweep)
    wait_until(lambda: sweep.log_path(0).exists() and sweep.log_path(0).stat().st_size)
    assert states(sweep) == [RunState.RUNNING, RunState.PENDING]
    worker.kill()
    worker.wait()
    assert states(sweep) == [RunState.LOST, RunState.MISSING]


def test_ctrl_c_is_answered_where_the_worker_was_started(make_sweep, start_worker):
    sweep = make_sweep(LONG)
    worker = start_worker(sweep)
    wait_until(lambda: sweep.log_path(0).exists() and sweep.log_path(0).stat().st_size)
    worker.send_signal(signal.SIGINT)
    printed, _ = worker.communicate(timeout=30)
    assert "Interrupted: saving, then exiting" in printed
    assert printed.endswith(f"stopped; to continue: simplexity work '{sweep.path}'\n")
    assert sweep.log_path(0).read_text() == "begins at 0\n"


def test_workers_that_were_started_by_hand_hear_of_a_failure(make_sweep, start_worker):
    sweep = make_sweep({"steps": 60, "step_s": 0.05, "raises_at": 40}, LONG, LONG, launch=STOPS)
    sweep.record_submission(range(3))
    first = start_worker(sweep)
    wait_until(lambda: states(sweep)[0] == RunState.RUNNING)
    second = start_worker(sweep)
    assert first.wait(30) == ExitCode.FAILED
    assert second.wait(30) == ExitCode.REQUEUE
    assert states(sweep) == [RunState.FAILED, RunState.STOPPED, RunState.MISSING]
    assert read_ledger(sweep.path / "1/run.jsonl")[-1].reason == (
        "run 0 has failed, and hydra.launcher.on_failure=stop"
    )


def test_a_local_sweep_hears_of_a_failure_of_a_worker_that_it_has_not_started(make_sweep, execute):
    sweep = make_sweep({}, LONG, launch=STOPS)
    failed = sweep.read_manifest().run(0)
    lock = RunLock(sweep.run_directory(failed).lock_path).acquire()

    def fail():
        if not (sweep.log_path(1).exists() and sweep.log_path(1).stat().st_size):
            return False
        record_failure(sweep.run_directory(failed), lock, "local_0", "it cannot be executed")
        lock.release()
        stop_others(sweep, failed, as_array_task=False)
        return True

    outcomes, _ = execute(sweep, slots=1, at_start=fail, stop_on_failure=True)
    assert [outcome.state for outcome in outcomes] == [RunState.FAILED, RunState.STOPPED]
    assert outcomes[0].reason == "it cannot be executed"


def test_a_local_sweep_hears_of_cancel_on_another_machine(make_sweep, execute):
    sweep = make_sweep(LONG)

    def request():
        if sweep.log_path(0).exists() and sweep.log_path(0).stat().st_size:
            request_stop(sweep, "simplexity cancel")
            return True
        return False

    outcomes, notes = execute(sweep, slots=1, at_start=request)
    assert [outcome.state for outcome in outcomes] == [RunState.STOPPED]
    assert notes.stopped


@pytest.mark.slow
def test_a_frozen_worker_of_another_machine_whose_run_is_taken_over_takes_another(make_sweep, start_worker):
    namespace = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if subprocess.run([*namespace, "true"], capture_output=True).returncode != 0:
        pytest.skip("this user may not make a process namespace")
    sweep = make_sweep({"steps": 100, "step_s": 0.05, "leaves_at": []}, {"steps": 60, "step_s": 0.05})
    sweep.record_submission(range(2))
    frozen = start_worker(sweep, prefix=namespace)
    wait_until(lambda: sweep.log_path(0).exists() and sweep.log_path(0).stat().st_size)
    (pid,) = subprocess.run(
        ["pgrep", "--parent", str(frozen.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    subprocess.run(["kill", "-STOP", pid], check=True)
    other = start_worker(sweep)
    # It passes over the run that is held, completes the other one, and looks at the first once more.
    wait_until(lambda: sweep.log_path(0).read_text().count("begins at") == 2)
    subprocess.run(["kill", "-CONT", pid], check=True)
    printed, _ = frozen.communicate(timeout=60)
    assert frozen.returncode == ExitCode.COMPLETE
    assert other.wait(60) == ExitCode.COMPLETE
    assert states(sweep) == [RunState.COMPLETE] * 2
    kinds = [event.kind for event in read_ledger(sweep.path / "0/run.jsonl")]
    assert kinds == [EventKind.START, EventKind.START, EventKind.COMPLETE]
    assert "this worker leaves it" in sweep.log_path(0).read_text()
    assert "nothing to execute" in printed


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_worker_whose_terminal_is_hung_up_saves_and_can_be_continued(make_sweep, at_once):
    sweep = make_sweep(*[LONG | {"at_once": at_once}] * 2)
    with on_terminal([*WORKER, str(sweep.path)], columns=80) as terminal:
        terminal.read_until("#0 seed=0: started")
        wait_until(lambda: states(sweep)[0] == RunState.RUNNING)
        terminal.hang_up()
        assert terminal.process.wait(30) == ExitCode.REQUEUE
    assert states(sweep)[0] == RunState.STOPPED


def test_a_worker_whose_reader_has_gone_executes_all_runs(make_sweep, start_worker):
    sweep = make_sweep(*[{"steps": 3, "step_s": 0.1}] * 3)
    worker = start_worker(sweep)
    worker.stdout.readline()
    worker.stdout.close()
    worker.stdout = None
    assert worker.wait(30) == ExitCode.COMPLETE
    assert states(sweep) == [RunState.COMPLETE] * 3
