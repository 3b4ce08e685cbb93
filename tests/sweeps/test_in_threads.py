import threading
import time

from simplexity.sweeps import _in_threads, in_threads


def test_reads_that_do_not_wait_stay_in_the_calling_thread(monkeypatch):
    """On a local disk, threads would only contend for Python's lock."""
    # On a busy machine, a thread waits for the processor too.
    monkeypatch.setattr(_in_threads, "perf_counter", time.thread_time)
    found = list(in_threads(lambda item: (item, threading.current_thread()), range(300)))
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
