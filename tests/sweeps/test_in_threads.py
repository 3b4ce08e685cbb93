import os
import subprocess
import sys
import threading
import time

from simplexity.sweeps import in_threads


def test_reads_that_do_not_wait_stay_in_the_calling_thread():
    """On a local disk, threads would only contend for Python's lock; also where others want the processor."""

    def read(item: int) -> tuple[int, threading.Thread]:
        began = time.thread_time()
        while time.thread_time() - began < 0.0005:
            pass
        return item, threading.current_thread()

    spin = [sys.executable, "-S", "-c", "while True: pass"]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})  # which the others inherit
    others = [subprocess.Popen(spin) for _ in range(3)]
    try:
        found = list(in_threads(read, range(300)))
    finally:
        for process in others:
            process.kill()
            process.wait()
        os.sched_setaffinity(0, cores)
    assert found == [(item, threading.current_thread()) for item in range(300)]


def test_reads_that_wait_are_done_at_the_same_time_and_keep_their_order():
    threads = set()

    def read(item: int) -> int:
        threads.add(threading.current_thread())
        time.sleep(0.005)
        return -item

    assert list(in_threads(read, range(100))) == [-item for item in range(100)]
    assert len(threads) > 2


def test_no_items():
    assert list(in_threads(abs, [])) == []
