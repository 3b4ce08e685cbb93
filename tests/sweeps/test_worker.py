"""What a worker records and prints of a run that it could not bring to an end."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from simplexity.host import PreemptionGuard
from simplexity.runs import EventKind, ExitCode, Ledger, LostLockError, RunLock, read_ledger
from simplexity.sweeps import SweepRun, WorkerPlace, drain
from simplexity.sweeps._manifest import submission_name
from simplexity.sweeps._run_threads import RunThreads
from simplexity.sweeps._worker_record import WorkerRecord


class Executor:
    def __init__(self, at_once: int, error: type[BaseException] | None = None):
        self._at_once, self._error = at_once, error

    def can_take(self, run) -> bool:
        return True

    def num_at_once(self, run) -> int:
        return self._at_once

    def together(self):
        return nullcontext()

    def execute(self, run, lock) -> int:
        if self._error is not None:
            raise self._error
        return ExitCode.COMPLETE

    def renew(self) -> None:
        raise AssertionError("each run can be executed here")


def drained(sweep, executor: Executor) -> tuple[WorkerRecord, BaseException | None]:
    """Executes the sweep's first submission by one worker -> its record, and the error that has ended it."""
    if not sweep.read_submissions():
        sweep.record_submission([run.index for run in sweep.read_manifest().runs])
    place = WorkerPlace(submission_name(0, sweep.read_submissions()[0]), 0, 1)
    ended_by = None
    with PreemptionGuard() as guard:
        try:
            drain(sweep, guard, executor, place)
        except BaseException as error:
            ended_by = error
    return WorkerRecord(sweep.worker_path(place.name)), ended_by


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_run_whose_log_cannot_be_opened_has_failed_and_was_not_interrupted(at_once, make_sweep):
    sweep = make_sweep({}, {})
    sweep.log_path(0).mkdir(parents=True)
    record, error = drained(sweep, Executor(at_once))
    assert (0, ExitCode.FAILED) in list(record.read_new())
    assert record.running == ()
    # Alone it ends the worker, whose other runs are for the others; of several, each ends by itself.
    assert isinstance(error, IsADirectoryError) is (at_once == 1)


@pytest.mark.parametrize(("at_once", "running"), [(1, (0,)), (3, ())])
def test_a_process_that_exits_in_a_run_was_interrupted_and_a_thread_was_not(at_once, running, make_sweep):
    record, error = drained(make_sweep({}), Executor(at_once, SystemExit))
    list(record.read_new())
    assert record.running == running
    assert isinstance(error, SystemExit) is (at_once == 1)


def test_a_run_that_ends_its_worker_before_it_can_begin_fails_after_three_such_ends(make_sweep):
    sweep = make_sweep({}, {})
    ended_by = [drained(sweep, Executor(1, SystemExit))[1] for _ in range(3)]
    assert all(isinstance(error, SystemExit) for error in ended_by)
    assert not sweep.run_directory(sweep.read_run(0)).ledger_path.exists()
    record, error = drained(sweep, Executor(1))
    last = read_ledger(sweep.run_directory(sweep.read_run(0)).ledger_path)[-1]
    assert (last.kind, last.reason) == (EventKind.FAILED, "it has ended its worker 3 times before it could begin")
    # The other run is executed.
    assert error is None
    assert list(record.read_new())[-1] == (1, ExitCode.COMPLETE)


@pytest.mark.parametrize("num_known", [1, 2, 3])
def test_a_run_that_other_workers_have_died_in_fails_with_what_ended_them(num_known, make_sweep):
    sweep = make_sweep({})
    sweep.record_submission([0])
    run = sweep.read_run(0)
    ledger = Ledger(sweep.run_directory(run).ledger_path)
    for number in range(1, 4):
        ledger.append(EventKind.START, 0, submission="local_0")
        record = WorkerRecord(sweep.worker_path(f"local_0_{number}"))
        record.start()
        record.begin(0)
        if number <= num_known:
            record.die(f"its process was killed by signal {number}")
    _, error = drained(sweep, Executor(1))
    assert error is None
    last = read_ledger(sweep.run_directory(run).ledger_path)[-1]
    reason = "it has ended its worker 3 times; in one of its starts, its process was killed by signal 3"
    if num_known < 3:
        reason = (
            "3 starts in a row saved nothing after step 0 (ended unexpectedly after start); in one of its "
            f"starts, its process was killed by signal {num_known}"
        )
    assert (last.kind, last.reason) == (EventKind.FAILED, reason)


def test_a_line_that_a_full_disk_refuses_is_dropped_alone(tmp_path):
    program = """
import pathlib, resource, sys
from simplexity.host import outlive_readers
from simplexity.sweeps._worker_output import WorkerOutput
outlive_readers()
output = WorkerOutput()
# The kernel refuses bytes beyond this size, as a full disk does.
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
output.print_line("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with output.redirected_to(pathlib.Path(sys.argv[1], "run")):
    print("of the run")
output.print_line("of the worker")
"""
    with open(tmp_path / "worker", "w") as log:
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], stdout=log, check=True, timeout=60)
    assert (tmp_path / "run").read_text() == "of the run\n"
    assert (tmp_path / "worker").read_text() == "of the worker\n"


def test_a_worker_whose_reader_has_gone_says_nothing_of_it_in_the_logs_of_its_runs(tmp_path):
    program = """
import pathlib, sys
from simplexity.host import outlive_readers, take_lost_streams
from simplexity.sweeps._worker_output import WorkerOutput
outlive_readers()
output = WorkerOutput()
for name in ("1", "2"):
    print("logged by the worker", file=sys.stderr)
    output.print_line("of the worker")
    with output.redirected_to(pathlib.Path(sys.argv[1], name)):
        print("of the run", *take_lost_streams())
    print("a loss is noticed once", file=sys.stderr)
    print(*take_lost_streams(), file=open(f"{sys.argv[1]}/between {name}", "w"))
"""
    reads, writes = os.pipe()
    os.close(reads)
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], stdout=writes, stderr=writes, check=True, timeout=60)
    os.close(writes)
    for name in ("1", "2"):
        assert (tmp_path / name).read_text() == "of the run\n"
        assert (tmp_path / f"between {name}").read_text() == "\n"


@pytest.mark.parametrize(
    ("error", "has_traceback"),
    [(RecursionError("deep"), True), (OSError("gone"), False), (LostLockError("lost"), False)],
)
def test_a_thread_prints_where_a_run_has_raised_unless_the_file_system_or_the_lock_did(error, has_traceback, capsys):
    def execute(run, lock):
        raise error

    threads = RunThreads(execute)
    threads.start(SweepRun(3, (), "", "3", 1), RunLock(Path("lock")))
    ended = threads.next_ended(10)
    assert ended is not None
    assert ended.exit_code == ExitCode.FAILED
    printed = capsys.readouterr().err
    assert ("Traceback" in printed) is has_traceback
    assert (printed == f"#3: {error}\n") is not has_traceback
