import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from simplexity.runs import EventKind, Ledger, read_ledger
from simplexity.runs._phases import PhaseSeconds


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


def test_events_are_read_as_they_were_written(path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "21")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    ledger = Ledger(path)
    start = ledger.append(EventKind.START, 0, previous_alive=12.5)
    ledger.append(EventKind.RESUME, 100, reached_step=130)
    with ledger.phases.measure("computing"):
        time.sleep(0.02)
    left = ledger.append(EventKind.PREEMPTED, 150, reason="SIGUSR2")
    assert read_ledger(path) == list(ledger.events)
    assert [(e.sequence, e.kind, e.step) for e in ledger.events] == [
        (0, EventKind.START, 0),
        (1, EventKind.RESUME, 100),
        (2, EventKind.PREEMPTED, 150),
    ]
    assert (start.host, start.pid, start.previous_alive) == (os.uname().nodename, os.getpid(), 12.5)
    assert start.slurm is not None
    assert (start.slurm.job_id, start.slurm.restart_count) == ("21", 1)
    assert start.seconds == PhaseSeconds()
    assert 0.02 <= read_ledger(path)[-1].seconds.computing <= left.elapsed_s + 0.001
    assert read_ledger(path)[-1].reason == "SIGUSR2"


def test_reading_a_run_that_never_started(path):
    assert read_ledger(path) == []
    assert Ledger(path).events == ()
    assert not path.exists()


def test_a_clock_that_goes_backwards_changes_no_order(path, monkeypatch):
    now = iter([1000.0, 500.0, 2000.0, 1.0])
    monkeypatch.setattr("simplexity.runs._ledger.time.time", lambda: next(now))
    for step in range(4):
        Ledger(path).append(EventKind.CHECKPOINT, step)
    events = read_ledger(path)
    assert [event.sequence for event in events] == [0, 1, 2, 3]
    assert [event.step for event in events] == [0, 1, 2, 3]
    assert [event.time for event in events] == [1000.0, 500.0, 2000.0, 1.0]


def test_a_torn_line_is_repaired_when_the_next_attempt_begins(path):
    Ledger(path).append(EventKind.START, 0)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    assert len(read_ledger(path)) == 1
    assert path.read_bytes() != whole
    ledger = Ledger(path)
    assert path.read_bytes() == whole
    ledger.append(EventKind.START, 0)
    assert [event.sequence for event in read_ledger(path)] == [0, 1]


@pytest.mark.parametrize("line", ['{"kind": "teleported", "step": 1}', '{"kind": "start", "colour": 1}'])
def test_an_event_of_another_version_is_named(path, line):
    path.write_text(line + "\n")
    with pytest.raises(RuntimeError, match=r"run\.jsonl was written by another version of simplexity: "):
        read_ledger(path)


def test_threads_append_one_after_the_other(path):
    ledger = Ledger(path)
    threads = [
        threading.Thread(target=lambda i=i: [ledger.append(EventKind.CHECKPOINT, i) for _ in range(5)])
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.sequence for event in read_ledger(path)] == list(range(20))


def test_a_kill_loses_no_event_that_was_written(path):
    program = """
import pathlib, sys
from simplexity.runs import EventKind, Ledger
ledger = Ledger(pathlib.Path(sys.argv[1]))
with ledger.phases.measure("computing"):
    for step in range(1_000_000):
        ledger.append(EventKind.CHECKPOINT, step)
        print(step, flush=True)
"""
    writer = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(20):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    told = 20 + len(writer.communicate()[0].splitlines())
    events = Ledger(path).events
    assert told <= len(events) <= told + 1
    assert [event.step for event in events] == list(range(len(events)))
    computing = [event.seconds.computing for event in events]
    assert computing == sorted(computing)
    assert 0 < computing[-1] <= events[-1].elapsed_s + 0.001
