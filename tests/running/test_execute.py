import errno

import pytest

from simplexity.host import PreemptionGuard
from simplexity.running import _execute
from simplexity.running._outcome import RunResult
from simplexity.runs import (
    EventKind,
    ExitCode,
    Ledger,
    RunDirectory,
    RunLock,
    UnreadableError,
    read_ledger,
    retry_read,
)


@pytest.fixture
def directory(tmp_path):
    directory = RunDirectory.create(tmp_path / "run")
    directory.config_path.write_text("training: {num_train_steps: 9}\npersistence: {instance: {max_to_keep: 3}}\n")
    Ledger(directory.ledger_path).append(EventKind.CHECKPOINT, 5)
    return directory


@pytest.fixture
def unreadable(monkeypatch):
    """Makes the attempt meet a file that cannot be read."""

    def read():
        raise OSError(errno.EIO, "Input/output error", "manifest.json")

    monkeypatch.setattr(
        "simplexity.running._attempt.attempt",
        lambda directory, config, ledger, lock, guard, *built: retry_read(read, guard.wait),
    )


def test_a_stop_request_while_a_file_cannot_be_read_is_honoured(directory, unreadable, monkeypatch):
    guard = PreemptionGuard()
    monkeypatch.setattr(guard, "wait", lambda seconds: guard.request("SIGTERM") is None)
    assert _execute.execute(directory.path, guard).exit_code == ExitCode.REQUEUE
    event = read_ledger(directory.ledger_path)[-1]
    assert (event.kind, event.step, event.reason) == (EventKind.PREEMPTED, 5, "SIGTERM")


def test_a_run_that_was_complete_stays_so_when_its_extension_cannot_be_read(directory, unreadable, monkeypatch):
    directory.mark_complete(5, 0.6)
    guard = PreemptionGuard()
    monkeypatch.setattr(guard, "wait", lambda seconds: False)
    with pytest.raises(UnreadableError):
        _execute.execute(directory.path, guard)
    assert directory.complete_path.is_file()
    assert read_ledger(directory.ledger_path)[-1].kind == EventKind.FAILED


@pytest.mark.parametrize("what", ["COMPLETE", "run.jsonl", "lock"])
def test_what_cannot_be_read_before_a_start_is_recorded_is_tried_once_more_in_a_job(what, directory, monkeypatch):
    names = {path.name for path in directory.path.iterdir()}

    def fail(*arguments):
        raise UnreadableError(f"{what} cannot be read")

    place = {
        "COMPLETE": (RunDirectory, "read_completion"),
        "run.jsonl": (Ledger, "__init__"),
        "lock": (RunLock, "acquire"),
    }

    def starts():
        with monkeypatch.context() as patch:
            patch.setattr(*place[what], fail)
            return _execute.execute(directory.path, PreemptionGuard()).exit_code

    with pytest.raises(UnreadableError):
        starts()
    monkeypatch.setenv("SIMPLEXITY_SUBMISSION", "array_0")
    monkeypatch.setattr("simplexity.running._attempt.attempt", lambda *arguments: RunResult(ExitCode.COMPLETE, 0.6))
    for _ in range(2):
        assert starts() == ExitCode.REQUEUE
        # A start that can read begins to count anew.
        assert _execute.execute(directory.path, PreemptionGuard()).exit_code == ExitCode.COMPLETE
    assert starts() == ExitCode.REQUEUE
    with pytest.raises(UnreadableError):
        starts()
    assert {path.name for path in directory.path.iterdir()} - names <= {"lock", ".was_unreadable"}
    assert starts() == ExitCode.REQUEUE


def test_a_complete_run_forgets_that_it_could_not_be_read(directory):
    directory.mark_complete(9, 0.6)
    directory.unreadable_path.touch()
    assert _execute.execute(directory.path, PreemptionGuard()).exit_code == ExitCode.COMPLETE
    assert not directory.unreadable_path.exists()


def test_a_lock_that_cannot_be_read_when_the_start_is_recorded_ends_the_second_start_only(directory, monkeypatch):
    failures, still_held, decide = [0], RunLock.still_held, _execute.next_start

    def look(lock):
        if failures[0]:
            failures[0] -= 1
            raise OSError(errno.EIO, "Input/output error", "lock/1")
        return still_held(lock)

    def next_start(*arguments):
        failures[0] = 4  # all tries of one look
        return decide(*arguments)

    monkeypatch.setattr(RunLock, "still_held", look)
    monkeypatch.setattr(_execute, "next_start", next_start)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("SIMPLEXITY_SUBMISSION", "array_0")
    events = read_ledger(directory.ledger_path)
    assert _execute.execute(directory.path, PreemptionGuard()).exit_code == ExitCode.REQUEUE
    with pytest.raises(UnreadableError):
        _execute.execute(directory.path, PreemptionGuard())
    assert read_ledger(directory.ledger_path) == events


@pytest.mark.parametrize(
    ("stops", "lasts", "kind"),
    [(True, True, EventKind.START), (True, False, EventKind.PREEMPTED), (False, False, EventKind.FAILED)],
)
def test_a_lock_that_cannot_be_read_in_the_middle_of_a_run_ends_no_job(directory, monkeypatch, stops, lasts, kind):
    """As when a checkpoint is saved; a stop may have been requested, and the lock be unreadable even afterwards."""
    is_unreadable, still_held = [False], RunLock.still_held

    def look(lock):
        if is_unreadable[0]:
            raise OSError(errno.EIO, "Input/output error", "lock/1")
        return still_held(lock)

    def attempt(directory, config, ledger, lock, guard, *built):
        is_unreadable[0] = True
        if stops:
            guard.request("SIGTERM")
        try:
            lock.require_held()
        finally:
            is_unreadable[0] = lasts

    monkeypatch.setattr(RunLock, "still_held", look)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("simplexity.running._attempt.attempt", attempt)
    monkeypatch.setenv("SIMPLEXITY_SUBMISSION", "array_0")
    assert _execute.execute(directory.path, PreemptionGuard()).exit_code == ExitCode.REQUEUE
    event = read_ledger(directory.ledger_path)[-1]
    assert (event.kind, event.step) == (kind, 5)
    assert event.comes_back is (True if kind == EventKind.FAILED else None)
