"""A worker that cannot read with which variables and modules a run is to be executed."""

import pytest

from simplexity.host import PreemptionGuard
from simplexity.running import _sweep_worker
from simplexity.running._sweep_worker import _Executor
from simplexity.runs import ExitCode, RunLock, UnreadableError
from tests.sweeps.conftest import sweep_in


@pytest.fixture
def unreadable(monkeypatch):
    """Whether Hydra's section of a run cannot be read, as on a file system that fails for some seconds."""
    is_so = [True]
    read = _sweep_worker.read_surroundings

    def read_surroundings(run_dir):
        if is_so[0]:
            raise UnreadableError(f"{run_dir}: Input/output error")
        return read(run_dir)

    monkeypatch.setattr(_sweep_worker, "read_surroundings", read_surroundings)
    return is_so


@pytest.fixture
def worker(tmp_path):
    """A worker, the only run of its sweep, and the run's lock."""
    sweep = sweep_in(tmp_path, {})
    (run,) = sweep.read_manifest().runs
    lock = RunLock(sweep.run_directory(run).lock_path)
    executor = _Executor(sweep, PreemptionGuard(), 1)
    return executor, run, lock


def test_the_run_is_not_executed_without_them_but_tried_once_more(worker, unreadable, monkeypatch, capfd):
    monkeypatch.setattr(_sweep_worker, "execute_frozen", lambda *_, **__: pytest.fail("executed without its variables"))
    executor, run, lock = worker
    assert executor.can_take(run)
    assert executor.execute(run, lock) == ExitCode.REQUEUE
    assert "tried once more" in capfd.readouterr().err
    assert executor.can_take(run)
    assert executor.execute(run, lock) == ExitCode.FAILED
    assert "Input/output error" in capfd.readouterr().err


def test_the_run_is_executed_once_they_can_be_read(worker, unreadable, monkeypatch):
    monkeypatch.setattr(_sweep_worker, "execute_frozen", lambda *_, **__: ExitCode.COMPLETE)
    executor, run, lock = worker
    assert executor.can_take(run)
    assert executor.execute(run, lock) == ExitCode.REQUEUE
    unreadable[0] = False
    assert executor.can_take(run)
    assert executor.execute(run, lock) == ExitCode.COMPLETE
