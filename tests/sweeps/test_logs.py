"""`simplexity logs` of one run, and what commands for sweeps answer where one run is named."""

import dataclasses
import errno
import threading
import time

import pytest

from simplexity.cli import main
from simplexity.runs import EventKind, Ledger, RunDirectory, RunLock
from simplexity.sweeps import _logs, _scheduler_state, find_log, follow_log

from .conftest import queued, record


@pytest.fixture
def run(tmp_path, monkeypatch):
    """One run that belongs to no sweep, and has printed a line; named from beside it."""
    monkeypatch.chdir(tmp_path)
    directory = RunDirectory.create(tmp_path / "my run")
    directory.config_path.write_text("seed: 1\n")
    (directory.path / "train_model.log").write_bytes(b"hello \xff\n")
    return directory


def test_the_log_of_one_run_is_printed_without_an_index(run, capfdbinary):
    assert main(["logs", "my run"]) == 0
    assert capfdbinary.readouterr().out == b"hello \xff\n"


def test_the_log_of_a_run_needs_no_manifest(make_sweep, capfdbinary):
    sweep = make_sweep({})
    (sweep.path / "0" / "train_model.log").write_bytes(b"hello\n")
    sweep.run_directory(sweep.read_run(0)).mark_complete(4, 0.5)
    sweep.manifest_path.write_text("corrupt")
    assert main(["logs", str(sweep.path / "0")]) == 0
    assert main(["logs", str(sweep.path / "0"), "--follow"]) == 0
    shown = capfdbinary.readouterr()
    assert (shown.out, shown.err[-13:]) == (b"hello\n" * 2, b" is complete\n")


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [(EventKind.START, EventKind.PREEMPTED), (EventKind.START,)])
def test_a_run_that_waits_for_its_next_start_is_followed(run, slurm, capfdbinary, monkeypatch, kinds):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    slurm["queue"] = {"7": queued("PENDING")}
    ledger = Ledger(run.ledger_path)
    for kind in kinds:
        ledger.append(kind, 0)

    def start_and_complete():
        with RunLock(run.lock_path), open(run.path / "train_model.log", "ab") as log:
            log.write(b"late\n")
            run.mark_complete(4, 0.5)

    threading.Timer(1.0, start_and_complete).start()
    assert main(["logs", "my run", "--follow"]) == 0
    shown = capfdbinary.readouterr()
    assert shown.out == b"hello \xff\nlate\n"
    assert shown.err.splitlines() == [
        b"my run is waiting for the next start of its job; Ctrl-C ends only this command",
        b"my run is complete",
    ]


RESUME = "to start it again: simplexity resume 'my run'"
SUCCESSOR = "unless another job is submitted in its place, " + RESUME
NO_PROCESS = "not running: its job runs, but no process has the run; unless one starts now, " + RESUME
UNKNOWN = "SLURM does not answer whether it was started again: no queue"


@pytest.mark.parametrize(
    ("kind", "job", "comes_back", "queue", "has_come", "words"),
    [
        (EventKind.FAILED, "7", None, {}, True, "failed: RuntimeError: no"),
        (EventKind.PREEMPTED, "", None, None, True, f"stopped; {RESUME}"),
        (EventKind.CHECKPOINT, "", None, None, True, f"stopped; {RESUME}"),
        (None, "", None, None, True, f"stopped; {RESUME}"),
        (EventKind.FAILED, "7", True, {"7": queued("PENDING")}, False, "waiting for the next start of its job"),
        (EventKind.PREEMPTED, "7", None, {"7": queued("RUNNING")}, False, NO_PROCESS),
        (EventKind.START, "7", None, {"7": queued("COMPLETING")}, False, ""),
        (EventKind.PREEMPTED, "7", None, {"7": queued("CANCELLED")}, True, f"cancelled; {RESUME}"),
        (EventKind.PREEMPTED, "7", None, {"7": queued("COMPLETED")}, True, f"stopped; {RESUME}"),
        (EventKind.START, "7", None, {"7": queued("TIMEOUT")}, False,
         f"not running: job 7 has ended: TIMEOUT; {SUCCESSOR}"),
        (EventKind.START, "7", None, {}, False,
         f"not running: it is not known how job 7 ended: no accounting; {SUCCESSOR}"),
        (EventKind.START, "7", None, None, False, f"not running; {UNKNOWN}"),
        (EventKind.FAILED, "7", True, None, False, f"failed: RuntimeError: no; {UNKNOWN}"),
    ],
)  # fmt: skip
def test_a_run_has_ended_if_nothing_starts_it_again(
    run, slurm, monkeypatch, kind, job, comes_back, queue, has_come, words
):
    monkeypatch.setenv("SLURM_JOB_ID", job)
    slurm["queue"] = queue
    if kind is not None:
        Ledger(run.ledger_path).append(kind, 0, reason="RuntimeError: no", comes_back=comes_back)
    assert find_log(run.path, None).end() == (has_come, words)
    with RunLock(run.lock_path):
        assert find_log(run.path, None).end() == (False, "")


def test_a_single_run_of_an_array_is_its_task(run, slurm, monkeypatch):
    for name, value in (("SLURM_JOB_ID", "9"), ("SLURM_ARRAY_JOB_ID", "7"), ("SLURM_ARRAY_TASK_ID", "3")):
        monkeypatch.setenv(name, value)
    Ledger(run.ledger_path).append(EventKind.START, 0)
    slurm["queue"] = {"7_2": queued("RUNNING"), "7_3": queued("CANCELLED")}
    assert find_log(run.path, None).end().has_come


@pytest.mark.parametrize(
    ("queue", "kinds", "has_come", "words"),
    [
        ({"7_0": queued("RUNNING")}, (EventKind.START,), False, ""),
        ({"7_0": queued("PENDING")}, (), False, "pending"),
        ({"7_0": queued("PENDING")}, (EventKind.START, EventKind.PREEMPTED), False, "waiting"),
        ({"7_0": queued("FAILED")}, (EventKind.START, EventKind.FAILED), True, "failed: RuntimeError: no"),
        # SLURM does not answer: a run that was lost, or has failed, may be in the queue again.
        (None, (EventKind.START,), False, f"not running; {UNKNOWN}"),
        (None, (EventKind.START, EventKind.FAILED), False, f"failed: RuntimeError: no; {UNKNOWN}"),
        ({"7_0": queued("CANCELLED")}, (), True, "cancelled; to start it again: simplexity retry 'sweep of it'"),
    ],
)
def test_a_run_of_a_sweep_has_ended_if_slurm_says_so(
    make_sweep, slurm_launch, slurm, tmp_path, monkeypatch, queue, kinds, has_come, words
):
    monkeypatch.chdir(tmp_path)
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], job_id="7")
    record(sweep, 0, *kinds, reason="RuntimeError: no")
    slurm["queue"] = queue
    # By its number, and by its folder, which has no log before the run has begun.
    for log in (find_log(sweep.path, 0), find_log(sweep.path / "0", None)):
        assert (log.path, log.end()) == (sweep.log_path(0), (has_come, words))


def test_a_run_has_ended_where_slurm_is_not_installed(make_sweep, slurm_launch, slurm, run, monkeypatch):
    slurm.update(queue=None, is_installed=False)
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], job_id="7")
    record(sweep, 0, EventKind.START, EventKind.FAILED, reason="RuntimeError: no")
    assert find_log(sweep.path, 0).end() == (True, f"failed: RuntimeError: no; {UNKNOWN}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    Ledger(run.ledger_path).append(EventKind.START, 0)
    assert find_log(run.path, None).end() == (True, f"not running; {UNKNOWN}")


@pytest.fixture
def follow(tmp_path, monkeypatch):
    """A log -> what following it has shown, and the remarks, with shorter pauses: a second while the run waits."""
    for name, seconds in (("_POLL_S", 0.01), ("_PAUSE_S", 0.0), ("_WAITING_PAUSE_S", 1.0)):
        monkeypatch.setattr(_logs, name, seconds)

    def follow(log):
        remarks = []
        with open(tmp_path / "shown", "w+b") as output:
            follow_log(log, output, remarks.append)
            output.seek(0)
            return output.read(), remarks

    return follow


def _of_each_kind(sweep, run):
    """Directory and log of the sweep's run, and of one that belongs to none."""
    return (sweep.run_directory(sweep.read_run(0)), find_log(sweep.path, 0)), (run, find_log(run.path, None))


def test_a_run_whose_files_cannot_be_read_now_has_not_ended(make_sweep, run, follow):
    for directory, log in _of_each_kind(make_sweep({}), run):
        directory.ledger_path.mkdir()
        threading.Timer(0.2, directory.ledger_path.rmdir).start()
        _, remarks = follow(log)
        assert remarks[0].startswith(f"{log.run} is unreadable: {directory.ledger_path}: ")
        assert len(remarks) == 2


def test_following_a_run_whose_files_are_corrupt_ends(make_sweep, run, follow):
    for directory, log in _of_each_kind(make_sweep({}), run):
        directory.ledger_path.write_text("garbage\n{}\n")
        with pytest.raises(RuntimeError, match="line 1 of"):
            follow(log)


@pytest.mark.parametrize("name", ["manifest_path", "runs_path", "submissions_path", "environment_path"])
def test_a_question_whether_a_run_has_ended_reads_once(make_sweep, monkeypatch, name):
    sweep = make_sweep({})
    # By its folder, its sweep is looked up at the first question.
    logs = find_log(sweep.path, 0), find_log(sweep.path / "0", None)
    path = getattr(sweep, name)
    path.unlink(missing_ok=True)
    path.mkdir()
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it sleeps"))
    for log in logs:
        assert _logs._end(log) == (False, f"unreadable: {path}: Is a directory")


def test_the_state_of_a_run_that_was_extended_meanwhile_is_known(make_sweep):
    sweep = make_sweep({})
    log = find_log(sweep.path, 0)
    manifest = sweep.read_manifest()
    longer = manifest.runs[0]._replace(num_train_steps=8)
    sweep.write_manifest(dataclasses.replace(manifest, runs=(longer,)))
    assert log.end().words.startswith("missing; ")


def test_what_a_run_prints_after_it_is_complete_is_waited_for(make_sweep):
    sweep = make_sweep({})
    directory, log = sweep.run_directory(sweep.read_run(0)), find_log(sweep.path, 0)
    with RunLock(directory.lock_path):
        directory.mark_complete(4, 0.5)
        assert log.end() == (False, "")
    assert log.end() == (True, "complete")


def test_slurm_is_asked_about_the_run_that_is_followed_alone(make_sweep, slurm_launch, slurm, monkeypatch):
    sweep = make_sweep({}, {}, launch=slurm_launch())
    for index in (0, 1):
        sweep.record_submission([index], job_id=str(7 + index))
    asked = []
    monkeypatch.setattr(_scheduler_state, "queued_tasks", lambda jobs: asked.append(jobs) or {})
    record(sweep, 1, EventKind.START)
    log = find_log(sweep.path, 1)
    with RunLock(sweep.run_directory(sweep.read_run(1)).lock_path):
        log.end()
    assert asked == []
    log.end()
    assert asked == [["8"]]


def test_a_run_that_waits_is_asked_about_less_often(run, follow):
    states = [(False, ""), (False, "pending"), (True, "complete")]
    times = []

    def end():
        times.append(time.monotonic())
        return _logs.LogEnd(*states[len(times) - 1])

    log = find_log(run.path, None)._replace(end=end)
    follow(log)
    assert times[1] - times[0] < 0.9 < times[2] - times[1]
    # It prints, and so it waits no longer.
    times.clear()
    threading.Timer(0.1, lambda: log.path.write_bytes(b"hello, and more\n")).start()
    follow(log)
    assert times[2] - times[1] < 0.9


def test_a_log_that_cannot_be_read_for_a_while_is_followed(run, follow, monkeypatch):
    log = find_log(run.path, None)._replace(end=lambda: _logs.LogEnd(True, "complete"))
    failures = [OSError(errno.ESTALE, "Stale file handle")] * 10

    def fail_at_first(*arguments):
        if failures:
            raise failures.pop()
        return open(*arguments)

    monkeypatch.setattr(_logs, "open", fail_at_first, raising=False)
    shown, remarks = follow(log)
    assert shown == b"hello \xff\n"
    assert [line.partition(" cannot be read")[0] for line in remarks] == [str(log.path), "my run is complete"]


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        (["logs", "my run", "3"], "its log is printed without an index: simplexity logs 'my run'"),
        (["retry", "my run"], "to start it again: simplexity resume 'my run'"),
        (["work", "my run"], "to start it again: simplexity resume 'my run'"),
        (["cancel", "my run"], "Ctrl-C in its terminal stops it, or scancel of its job"),
        (["status", "my run"], "to look at it: simplexity show 'my run'"),
        (["results", "my run"], "to look at it: simplexity show 'my run'"),
    ],
)
def test_commands_for_sweeps_say_what_there_is_for_one_run(run, capfd, command, remedy):
    assert main(command) == 2
    assert capfd.readouterr().err.endswith(f"it is one run; {remedy}\n")


def test_the_log_of_a_sweep_needs_an_index(make_sweep, capfd):
    sweep = make_sweep({}, {}, {})
    assert main(["logs", str(sweep.path)]) == 2
    assert "is a sweep: add the index of one of its runs, 0 to 2\n" in capfd.readouterr().err


def test_a_run_without_a_log_says_so(run, capfd):
    (run.path / "train_model.log").unlink()
    assert main(["logs", "my run"]) == 1
    assert "`my run` has no log" in capfd.readouterr().err
