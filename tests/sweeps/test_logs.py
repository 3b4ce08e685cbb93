"""`simplexity logs` of one run, and what commands for sweeps answer where one run is named."""

import threading

import pytest

from simplexity.cli import main
from simplexity.runs import RunDirectory, RunLock


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
def test_the_log_of_one_run_is_followed_until_it_ends(run, capfdbinary):
    def end():
        with open(run.path / "train_model.log", "ab") as log:
            log.write(b"late\n")
        lock.release()

    with RunLock(run.lock_path) as lock:
        threading.Timer(1.0, end).start()
        assert main(["logs", "my run", "--follow"]) == 0
    assert capfdbinary.readouterr().out == b"hello \xff\nlate\n"


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
