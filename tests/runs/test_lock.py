import errno
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from simplexity.runs import Liveness, RunLock, _lock, liveness, read_holder
from tests.runs.forged_locks import elsewhere, owner_of

QUICK = {"heartbeat_s": 0.2, "expiry_s": 1.5}
# A process that has ended needs no time to notice.
IMPATIENT = {"heartbeat_s": 0.1, "expiry_s": 0.4}
# Holds the lock until its input ends, says whether it still does, and releases it.
HOLD = """
import pathlib, sys
from simplexity.runs import RunLock, _owner
if sys.argv[2]:
    _owner._boot_id = lambda: sys.argv[2]
with RunLock(pathlib.Path(sys.argv[1]), heartbeat_s=0.2, expiry_s=1.5) as lock:
    print("held", flush=True)
    sys.stdin.readline()
    print(lock.still_held())
"""


@pytest.fixture
def holder(folder):
    """Another process that holds the lock."""
    process = hold(folder)
    yield process
    process.kill()
    process.communicate()


def hold(folder, *command, kernel="", program=HOLD, **environment):
    words = [*command, sys.executable, "-c", program, str(folder), kernel]
    pipe, values = subprocess.PIPE, os.environ | environment
    process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=values)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_held_from_acquire_to_release(folder, caplog):
    lock = RunLock(folder)
    assert not lock.still_held()
    assert read_holder(folder) is None
    with lock:
        assert lock.still_held()
        assert lock.previous_alive is None
        owner = owner_of(folder)
        assert (owner.pid, owner.host) == (os.getpid(), os.uname().nodename)
        assert liveness(owner) is Liveness.ALIVE
    assert not lock.still_held()
    assert read_holder(folder) is None
    for _ in range(3):
        with lock:
            assert lock.still_held()
    assert len(os.listdir(folder)) == 1
    assert caplog.records == []


def test_a_second_process_is_refused_in_one_line(folder, holder):
    before = time.monotonic()
    with pytest.raises(RuntimeError) as refused:
        RunLock(folder).acquire()
    assert time.monotonic() - before < 5
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith(
        f"the run directory {folder.parent} is in use by process {holder.pid} on {os.uname().nodename}"
    )
    assert f" since {time.strftime('%Y-%m-')}" in message
    assert f"`kill {holder.pid}`" in message


def test_one_process_cannot_hold_it_twice(folder):
    with RunLock(folder) as lock:
        with pytest.raises(RuntimeError, match="in use by process"):
            RunLock(folder).acquire()
        with pytest.raises(RuntimeError, match="already holds"):
            lock.acquire()
        assert lock.still_held()


def test_a_killed_holder_is_taken_over_at_once(folder, holder, caplog):
    before = time.time()
    holder.send_signal(signal.SIGKILL)
    # Not waited for: it is a zombie now.
    while liveness(owner_of(folder)) is Liveness.ALIVE:
        time.sleep(0.01)
    start = time.monotonic()
    with caplog.at_level(logging.WARNING), RunLock(folder) as lock:
        assert time.monotonic() - start < 5
        assert lock.previous_alive is not None
        assert before - 5 < lock.previous_alive < time.time() + 1
    assert f"process {holder.pid} on" in caplog.text
    assert "that process has ended" in caplog.text


def test_a_holder_that_was_frozen_and_taken_over_knows_it(folder):
    # Frozen in another container: no process here can see that it lives.
    frozen = hold(folder, kernel="another-boot")
    frozen.send_signal(signal.SIGSTOP)
    with RunLock(folder, **IMPATIENT) as lock:
        frozen.send_signal(signal.SIGCONT)
        out, _ = frozen.communicate("\n", timeout=20)
        assert out == "False\n"
        assert lock.still_held()
    assert os.listdir(folder) == ["2"]


def test_a_container_with_its_own_process_ids_is_not_mistaken(folder):
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("this user may not make a process namespace")
    process = hold(folder, *command)
    try:
        # Process 1 of its container, and process 1 lives here, too.
        assert owner_of(folder).pid == 1
        assert liveness(owner_of(folder)) is Liveness.UNSEEN
        with pytest.raises(RuntimeError, match="in use by process 1 on"):
            RunLock(folder, **QUICK).acquire()
    finally:
        process.kill()
        process.communicate()
    with RunLock(folder, **IMPATIENT) as lock:
        assert lock.still_held()


def test_another_hosts_silence_is_waited_for(folder, caplog):
    elsewhere(folder)
    start = time.monotonic()
    with caplog.at_level(logging.WARNING), RunLock(folder, **IMPATIENT):
        assert 0.4 <= time.monotonic() - start < 10
    assert "on n7" in caplog.text
    assert "no heartbeat for 0.4 s" in caplog.text


@pytest.mark.parametrize("heartbeats_s", [[9e9, 9e9 + 1, 9e9 + 2], [5e8, 4e8, 3e8]])
def test_another_hosts_heartbeat_counts_whatever_its_clock_says(folder, heartbeats_s):
    elsewhere(folder)
    stop = threading.Event()

    def beat():
        while not stop.wait(0.2):
            # The clock of that host is wrong, or goes backwards.
            time_s = heartbeats_s.pop(0) if len(heartbeats_s) > 1 else heartbeats_s[0]
            os.utime(folder / "1", (time_s, time_s))

    thread = threading.Thread(target=beat)
    thread.start()
    with pytest.raises(RuntimeError, match=r"in use by process .* on n7"):
        RunLock(folder, **QUICK).acquire()
    stop.set()
    thread.join()


def test_a_lock_without_a_name_is_waited_for(folder):
    folder.mkdir()
    (folder / "1").write_text('{"token": "ha')
    start = time.monotonic()
    with RunLock(folder, **IMPATIENT) as lock:
        assert time.monotonic() - start >= 0.4
        assert lock.still_held()


@pytest.mark.parametrize(("restarts", "job", "free"), [(1, "21", True), (0, "21", False), (1, "22", False)])
def test_a_requeued_job_takes_over_its_former_incarnation(folder, monkeypatch, caplog, restarts, job, free):
    process = hold(folder, SLURM_JOB_ID="21")
    monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
    try:
        lock = RunLock(folder, **QUICK)
        if free:
            with caplog.at_level(logging.WARNING), lock:
                assert lock.still_held()
            assert "it was restart 0 of this SLURM job" in caplog.text
        else:
            with pytest.raises(RuntimeError, match="in use"):
                lock.acquire()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("end", ["notices", "is dead", "is frozen"])
def test_a_former_incarnation_has_time_to_notice(folder, monkeypatch, end):
    program = f"import os\n{HOLD}".replace("expiry_s=1.5", "expiry_s=1.5, on_lost=lambda: os._exit(7)")
    process = hold(folder, program=program, SLURM_JOB_ID="21")
    monkeypatch.setenv("SLURM_JOB_ID", "21")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    if end != "notices":
        process.send_signal(signal.SIGKILL if end == "is dead" else signal.SIGSTOP)
    try:
        start = time.monotonic()
        with RunLock(folder, heartbeat_s=2.0, expiry_s=10.0):
            took_s = time.monotonic() - start
            if end == "notices":
                assert process.wait(0.5) == 7
            assert (took_s >= 4) == (end == "is frozen")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("times_s", [(0.0, 1.0), (-1.0, 1.0), (5.0, 9.0)])
def test_times_that_make_no_sense_are_refused(folder, times_s):
    with pytest.raises(ValueError, match="`expiry_s` must be at least twice `heartbeat_s`"):
        RunLock(folder, heartbeat_s=times_s[0], expiry_s=times_s[1])


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    with pytest.raises(RuntimeError, match=r"^the lock .*gone/lock cannot be taken: No such file or directory$"):
        RunLock(tmp_path / "gone" / "lock").acquire()


def test_the_lock_of_a_complete_run_is_removed_and_taken_again(tmp_path):
    lock = RunLock(tmp_path / "lock").acquire()
    lock.release(remove=True)
    assert not (tmp_path / "lock").exists()
    with RunLock(tmp_path / "lock") as next_lock:
        assert next_lock.still_held()
        assert not lock.still_held()


def test_a_lock_that_another_has_taken_is_not_removed(tmp_path, monkeypatch):
    lock = RunLock(tmp_path / "lock").acquire()
    next_lock = RunLock(tmp_path / "lock")

    def write_and_lose(path, text):
        path.write_text(text)
        next_lock.acquire()

    with monkeypatch.context() as patch:
        patch.setattr("simplexity.runs._lock.write_durably", write_and_lose)
        lock.release(remove=True)
    assert next_lock.still_held()
    next_lock.release()


def test_a_lock_that_is_not_taken_after_all_keeps_nobody_away(tmp_path, monkeypatch):
    def fails(folder):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(_lock, "delete_temporaries", fails)
        with pytest.raises(RuntimeError, match="cannot be taken: Input/output error"):
            RunLock(tmp_path / "lock").acquire()
    with RunLock(tmp_path / "lock") as lock:
        assert lock.still_held()
