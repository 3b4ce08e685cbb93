"""One run whose files cannot be read must not keep the commands from the others."""

import errno

import pytest

from simplexity.host import PreemptionGuard
from simplexity.runs import EventKind, ExitCode, Ledger, RunLock, read_ledger
from simplexity.sweeps import RunState, _outcome, _queue, cancel, read_status, results_rows, retry, status_lines

CONTENTS = {
    "a line of the ledger is no JSON": ("run.jsonl", "not json\n{}\n", "line 1 of"),
    "a later version wrote the ledger": ("run.jsonl", '{"kind": "teleported"}\n', "another version"),
    "the ledger is not UTF-8": ("run.jsonl", b'\xff\xfe\n{"kind": "start"}\n', "run.jsonl"),
    "COMPLETE is no JSON": ("COMPLETE", "yes\n", "COMPLETE was not written by a run"),
    "COMPLETE lacks its fields": ("COMPLETE", "{}\n", "COMPLETE was not written by a run"),
    "COMPLETE is not UTF-8": ("COMPLETE", b"\xff\xfe\n", "COMPLETE was not written by a run"),
    "the ledger is a folder": ("run.jsonl", None, "run.jsonl: Is a directory"),
    "COMPLETE is a folder": ("COMPLETE", None, "COMPLETE: Is a directory"),
    "the metrics are a folder": ("metrics.jsonl", None, "metrics.jsonl: Is a directory"),
    "the metrics hold words": ("metrics.jsonl", '{"step": "ten", "loss": "low", "time_s": "late"}\n', "metrics.jsonl"),
}


@pytest.fixture(params=CONTENTS.values(), ids=CONTENTS)
def sweep_and_reason(request, make_sweep):
    """Three runs: one complete, one unreadable, one that never began."""
    sweep = make_sweep({}, {}, {})
    complete, unreadable, _ = map(sweep.run_directory, sweep.read_manifest().runs)
    Ledger(complete.ledger_path).append(EventKind.START, 0)
    complete.mark_complete(4, 0.5, 0.25, 0.25)
    name, content, reason = request.param
    path = unreadable.path / name
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return sweep, reason


def test_the_other_runs_are_served(sweep_and_reason, capfd):
    sweep, reason = sweep_and_reason
    status = read_status(sweep)
    assert [run.state for run in status.runs] == [RunState.COMPLETE, RunState.UNREADABLE, RunState.MISSING]
    assert reason in status.runs[1].reason
    assert status.has_ended
    text = "\n".join(status_lines("s", status))
    assert "1 unreadable" in text
    assert reason in text
    rows = results_rows(sweep, status)
    assert [(row["state"], row["loss"]) for row in rows[::2]] == [("complete", 0.5), ("missing", None)]
    assert reason in rows[1]["reason"]
    assert cancel(sweep) == "no run is running"


def test_retry_leaves_it_out_and_says_so(sweep_and_reason, monkeypatch, capfd):
    sweep, reason = sweep_and_reason
    started = []
    monkeypatch.setattr(
        "simplexity.sweeps._retry.run_locally", lambda sweep, manifest, launch, runs, guard: started.extend(runs) or []
    )
    with PreemptionGuard() as guard:
        retry(sweep, guard, failed=True, missing=True, changed_image=False)
    assert [run.index for run in started] == [2]
    assert reason in capfd.readouterr().out


def test_it_ends_as_failed_when_the_sweep_is_executed(make_sweep, execute):
    sweep = make_sweep({}, {}, {})
    (sweep.path / "1" / "COMPLETE").write_text("yes\n")
    (sweep.path / "2" / "run.jsonl").write_text("no\n{}\n")
    outcomes, _ = execute(sweep)
    assert [outcome.state for outcome in outcomes] == [RunState.COMPLETE, RunState.UNREADABLE, RunState.UNREADABLE]
    assert "COMPLETE was not written by a run" in outcomes[1].reason
    assert "line 1 of" in outcomes[2].reason


@pytest.mark.parametrize("times", [1, 3, 1000])
def test_a_worker_reads_again_before_it_passes_over_a_run(times, make_sweep, monkeypatch):
    sweep = make_sweep({}, {})
    runs, errors = sweep.read_manifest().runs, iter([OSError(errno.EIO, "Input/output error", "run.jsonl")] * times)

    def read(path):
        if path.parent.name == "0" and (error := next(errors, None)):
            raise error
        return read_ledger(path)

    monkeypatch.setattr(_queue, "read_ledger", read)
    queue = _queue.RunQueue(sweep, runs, {}, lambda run: RunLock(run.lock_path), lambda seconds: False)
    claimed = [claim.lock.release() or claim.run.index for claim in queue.claims()]
    assert (claimed, queue.has_passed_over) == (([1], True) if times == 1000 else ([0, 1], False))


def test_a_worker_that_has_passed_over_a_run_has_failed(make_sweep, start_worker):
    sweep = make_sweep({}, {})
    (sweep.path / "0" / "COMPLETE").write_text("yes\n")
    worker = start_worker(sweep)
    printed, _ = worker.communicate(timeout=60)
    assert worker.returncode == ExitCode.FAILED
    assert "#0 is passed over" in printed
    assert "#1 seed=1: complete" in printed


def test_a_local_sweep_reads_again_before_it_gives_up_a_run(make_sweep, execute, monkeypatch):
    sweep, failures = make_sweep({}), iter([OSError(errno.ESTALE, "Stale file handle", "run.jsonl")] * 2)

    def read(path):
        if error := next(failures, None):
            raise error
        return read_ledger(path)

    monkeypatch.setattr(_outcome, "read_ledger", read)
    monkeypatch.setattr(PreemptionGuard, "wait", lambda guard, seconds: False)
    outcomes, _ = execute(sweep)
    assert [outcome.state for outcome in outcomes] == [RunState.COMPLETE]


def test_runs_of_a_file_server_that_is_gone_share_one_run_s_tries(make_sweep, execute, monkeypatch):
    sweep, pauses = make_sweep(*[{}] * 5), []

    def read(path):
        raise OSError(errno.EIO, "Input/output error", "run.jsonl")

    def wait(seconds):
        pauses.append(seconds)
        return False

    monkeypatch.setattr(_queue, "read_ledger", read)
    queue = _queue.RunQueue(sweep, sweep.read_manifest().runs, {}, lambda run: RunLock(run.lock_path), wait)
    assert list(queue.claims()) == []
    assert (queue.has_passed_over, len(pauses)) == (True, 3)
    pauses.clear()
    monkeypatch.setattr(_outcome, "read_ledger", read)
    monkeypatch.setattr(PreemptionGuard, "wait", lambda guard, seconds: wait(seconds))
    outcomes, _ = execute(sweep)
    assert [outcome.state for outcome in outcomes] == [RunState.UNREADABLE] * 5
    assert len(pauses) == 3


def test_a_failure_that_cannot_be_recorded_is_tried_once_and_is_a_failure(make_sweep, monkeypatch):
    sweep, tries = make_sweep({}), []
    (run,) = sweep.read_manifest().runs
    ledger = Ledger(sweep.run_directory(run).ledger_path)
    for _ in range(3):
        ledger.append(EventKind.START, 0, submission="a")

    def refuse(directory, lock, submission, reason):
        tries.append(reason)
        raise OSError(errno.ENOSPC, "No space left on device", "run.jsonl")

    monkeypatch.setattr(_queue, "record_failure", refuse)
    queue = _queue.RunQueue(sweep, [run], {0: "a"}, lambda run: RunLock(run.lock_path), lambda seconds: False)
    assert list(queue.claims()) == []
    assert len(tries) == 1
    assert queue.take_given_up() == [run]
