"""`simplexity logs` of one run, and what commands for sweeps answer where one run is named."""

import threading

import pytest

from simplexity.cli import main
from simplexity.runs import EventKind, Ledger, RunDirectory, RunLock
from simplexity.sweeps import find_log

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


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [(), (EventKind.START, EventKind.PREEMPTED), (EventKind.START,)])
def test_a_run_that_has_not_begun_or_waits_for_its_next_start_is_followed(run, capfdbinary, monkeypatch, kinds):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
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
    state = b"waiting for the next start of its job" if kinds else b"pending"
    assert shown.err.splitlines() == [
        b"my run is " + state + b"; Ctrl-C ends only this command",
        b"my run is complete",
    ]


@pytest.mark.parametrize(
    ("kind", "job", "comes_back", "has_come", "words"),
    [
        (EventKind.FAILED, "7", None, True, "failed: RuntimeError: no"),
        (EventKind.FAILED, "7", True, False, "waiting for the next start of its job"),
        (EventKind.PREEMPTED, "", None, True, "stopped; to start it again: simplexity resume 'my run'"),
        (EventKind.CHECKPOINT, "", None, True, "stopped; to start it again: simplexity resume 'my run'"),
    ],
)
def test_a_run_has_ended_if_nothing_starts_it_again(run, monkeypatch, kind, job, comes_back, has_come, words):
    monkeypatch.setenv("SLURM_JOB_ID", job)
    Ledger(run.ledger_path).append(kind, 0, reason="RuntimeError: no", comes_back=comes_back)
    assert find_log(run.path, None).end() == (has_come, words)
    with RunLock(run.lock_path):
        assert find_log(run.path, None).end() == (False, "")


@pytest.mark.parametrize(
    ("queue", "kinds", "has_come", "words"),
    [
        ({"7_0": queued("RUNNING")}, (EventKind.START,), False, ""),
        ({"7_0": queued("PENDING")}, (), False, "pending"),
        ({"7_0": queued("PENDING")}, (EventKind.START, EventKind.PREEMPTED), False, "waiting"),
        # SLURM does not answer.
        (None, (EventKind.START,), False, "not running: no queue"),
        (None, (EventKind.START, EventKind.FAILED), True, "failed: RuntimeError: no"),
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
