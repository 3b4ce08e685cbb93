"""Each run's messages are in its own log, also where several run in one process."""

import logging
import threading

import pytest

from simplexity.running._run_log import close_logs, log_by_thread, log_to, thread_logs_to


def test_threads_log_to_their_own_files(tmp_path, own_logging):
    def work(name):
        with thread_logs_to(tmp_path / name):
            logging.getLogger("simplexity").info("begun %s", name)
            logging.getLogger("simplexity.failures").error("failed %s", name)
            logging.getLogger("another.library").info("not a run's concern")

    log_by_thread()
    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    logging.getLogger("simplexity").info("of no run")
    for thread in threads:
        thread.join()
    for name in "ab":
        lines = (tmp_path / name).read_text().splitlines()
        assert [line.partition("]")[2] for line in lines] == [
            f"[simplexity][INFO] begun {name}",
            f"[simplexity.failures][ERROR] failed {name}",
        ]


def test_a_closed_log_gets_nothing_more(tmp_path, own_logging):
    log_to(tmp_path / "log")
    logging.getLogger("simplexity").info("of the run")
    close_logs()
    logging.getLogger("simplexity").info("of no run")
    assert (tmp_path / "log").read_text().endswith("of the run\n")


def test_a_log_that_cannot_be_opened_is_an_error_of_the_disk(tmp_path, own_logging):
    with pytest.raises(IsADirectoryError):
        log_to(tmp_path)
