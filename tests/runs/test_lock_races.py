"""Several processes, or one and its child, want the same lock."""

import os
import signal
import subprocess
import sys

import pytest

from simplexity.runs import RunLock, _lock, append_json_line, read_holder, read_json_lines
from tests.runs.forged_locks import forge, owner_of

RACE = """
import os, pathlib, sys, time
from simplexity.runs import RunLock, _lock
really_create = _lock.create
def create(file, owner):
    time.sleep(0.1)  # until all have decided the same
    return really_create(file, owner)
_lock.create = create
children = []
undecided, decided = os.pipe()
for _ in range(8):
    if (child := os.fork()) == 0:
        lock = RunLock(pathlib.Path(sys.argv[1]))
        try:
            lock.acquire()
        except RuntimeError as error:
            os._exit(1 if "in use by process" in str(error) else 2)
        os.close(decided)
        os.read(undecided, 1)  # until the others have left, or have the lock as well
        os._exit(0 if lock.still_held() else 3)
    children.append(child)
os.close(decided)
print(*sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


# Each winner leaves without releasing: the second round finds a stale lock in any case.
@pytest.mark.parametrize("first", ["no lock", "a stale lock"])
def test_of_many_processes_one_gets_the_lock(folder, first):
    if first == "a stale lock":
        forge(folder, pid=2**22 + 1)
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", RACE, str(folder)], capture_output=True, text=True, timeout=30)
        assert done.stdout == "0 1 1 1 1 1 1 1\n"
        assert done.stderr.count("took over") == done.stderr.count("\n") <= 1


def test_one_that_looked_long_ago_cannot_slip_in_below(folder, monkeypatch):
    # It judges number 1 stale. Meanwhile 2 was used, and 3 is held by a live process, which has removed 1 and 2.
    forge(folder, pid=2**22 + 1)
    really_create, rounds = _lock.create, []

    def create(file, owner):
        if not rounds:
            rounds.append(file.name)
            forge(folder)
            (folder / "1").rename(folder / "3")
        return really_create(file, owner)

    monkeypatch.setattr(_lock, "create", create)
    with pytest.raises(RuntimeError, match="in use"):
        RunLock(folder).acquire()
    assert rounds == ["2"]
    assert (folder / "2").exists()
    assert owner_of(folder).since == 1.7e9


def test_a_forked_child_does_not_release(folder):
    program = """
import os, pathlib, sys
from simplexity.runs import RunLock
with RunLock(pathlib.Path(sys.argv[1])) as lock:
    if (child := os.fork()) == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    print(lock.still_held())
"""
    done = subprocess.run(
        [sys.executable, "-Wignore::DeprecationWarning", "-c", program, str(folder)],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert read_holder(folder) is None


FROZEN = """
import os, pathlib, signal, sys
from simplexity.runs import RunLock, _lock, renew_json_lines
really_this_process = _lock.this_process
# On a machine whose processes cannot be seen from this one.
_lock.this_process = lambda since: really_this_process(since)._replace(host="n7", kernel="another-boot")
folder = pathlib.Path(sys.argv[1])
lock = RunLock(folder, heartbeat_s=0.1, expiry_s=0.5).acquire()
def held_and_then_frozen():
    lock.require_held()
    if list(folder.parent.glob(".metrics.jsonl.*.tmp")):
        os.kill(os.getpid(), signal.SIGSTOP)
try:
    renew_json_lines(folder.parent / "metrics.jsonl", require_held=held_and_then_frozen)
except RuntimeError as error:
    print(error)
"""


def test_a_holder_that_is_frozen_between_the_check_and_the_rename_renames_nothing(folder):
    metrics = folder.parent / "metrics.jsonl"
    metrics.write_text('{"step":1}\n')
    child = subprocess.Popen([sys.executable, "-c", FROZEN, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        os.waitpid(child.pid, os.WUNTRACED)
        assert len(list(folder.parent.glob(".metrics.jsonl.*.tmp"))) == 1
        with RunLock(folder, heartbeat_s=0.1, expiry_s=0.5):
            append_json_line(metrics, {"step": 2})
            child.send_signal(signal.SIGCONT)
            said, _ = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait()
    assert "another process took over" in said
    assert read_json_lines(metrics) == [{"step": 1}, {"step": 2}]
    assert not list(folder.parent.glob(".*.tmp"))


def test_a_start_that_is_refused_is_not_hindered_by_a_takeover(folder):
    # It tries whether it can write before it looks at the lock.
    probe = folder.parent / "..writable.0123abcd.0123abcd.tmp"
    probe.touch()
    RunLock(folder).acquire().release()
    assert probe.exists()
