"""A worker that trains several runs at the same time: each run's folder is what it would be had the run been alone."""

import threading
import time
from collections import OrderedDict

import jax
import pytest

from simplexity.composition import compose, freeze
from simplexity.host import PreemptionGuard
from simplexity.running import _kept_programs, work
from simplexity.runs import EventKind, ExitCode, read_ledger
from simplexity.sweeps import LocalLaunch, Manifest, RunState, SweepDirectory, SweepRun, read_status
from tests.small_runs import GRU, SMALL, assert_same_run
from tests.training.compilation import optimized

pytestmark = pytest.mark.slow

# Three share a program and have other numbers and lengths; the last one has a program of its own.
RUNS = (
    ("seed=1",),
    ("seed=2", "training.optimizer.instance.learning_rate=0.01", "training.num_train_steps=40"),
    ("seed=3", "training_data_generator.instance.x=0.2"),
    ("seed=4", "training.batch_size=2"),
)
LONGER = (
    "training.num_train_steps=600",
    "training.log_every=20",
    "validation.every=200",
    "persistence.instance.save_every_steps=250",
)
DIVERGES = ("training.optimizer.instance.learning_rate=1e38", "training.gradient_clip_norm=null")


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch, own_logging):
    monkeypatch.setenv("SIMPLEXITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_kept_programs, "_programs", OrderedDict())
    # An earlier test in this process has compiled the norms, and differently: see tests/compilation.py.
    jax.clear_caches()
    with optimized():
        yield


@pytest.fixture
def make(tmp_path):
    """A name, and the overrides of each run -> a sweep of them, of which none has begun."""

    def make(name, *runs):
        sweep = SweepDirectory(tmp_path / name)
        entries = []
        for index, overrides in enumerate(runs):
            given = {override.partition("=")[0] for override in overrides}
            small = [override for override in SMALL if override.partition("=")[0] not in given]
            config = compose("experiment", [*small, *GRU, *overrides])
            folder = sweep.path / str(index)
            folder.mkdir(parents=True)
            freeze(config, folder)
            steps = config.training.num_train_steps
            entries.append(SweepRun(index, tuple(overrides), f"{index:016x}", str(index), steps))
        sweep.folder.mkdir()
        launch = LocalLaunch(max_parallel=1, cores_per_run=None)
        sweep.write_manifest(
            Manifest(
                program="run_experiment",
                config_name="experiment",
                created=time.time(),
                version="0",
                working_folder=str(tmp_path),
                launch=launch,
                runs=tuple(entries),
            )
        )
        return sweep

    return make


def execute(sweep, pack, guard=None):
    return work(sweep, PreemptionGuard() if guard is None else guard, None, pack)


def directories(sweep):
    return [sweep.run_directory(run) for run in sweep.read_manifest().runs]


def test_a_run_in_a_pack_is_the_run_alone_and_one_that_diverges_fails_alone(make, capsys):
    alone, packed = make("alone", *RUNS), make("packed", *RUNS, ("seed=5", *DIVERGES))
    assert execute(alone, 1) == ExitCode.COMPLETE
    assert execute(packed, 4) == ExitCode.FAILED
    for one, other in zip(directories(packed), directories(alone), strict=False):
        assert_same_run(one.path, other.path)
    assert [row.state for row in read_status(packed).runs] == [RunState.COMPLETE] * 4 + [RunState.FAILED]
    assert "the loss is not finite" in (read_ledger(directories(packed)[4].ledger_path)[-1].reason or "")
    for index in range(4):
        assert packed.log_path(index).read_text().splitlines()[-1].startswith("final loss")
        (log,) = directories(packed)[index].path.glob("*.log")
        assert "[INFO] final loss" in log.read_text().splitlines()[-1]
    assert "#4 seed=5" in capsys.readouterr().out


@pytest.mark.parametrize(("first", "then"), [(4, 1), (1, 4)])
def test_runs_that_are_stopped_in_a_pack_are_resumed_alone_and_the_other_way_round(make, first, then):
    longer = [(*overrides, *LONGER) for overrides in RUNS[:3:2]]
    never_stopped, sweep = make("never stopped", *longer), make("sweep", *longer)
    assert execute(never_stopped, 1) == ExitCode.COMPLETE
    guard = PreemptionGuard()

    def stop_when_all_have_begun():
        begun = directories(sweep)[: 2 if first > 1 else 1]
        while not all(directory.metrics_path.exists() and directory.metrics_path.stat().st_size for directory in begun):
            time.sleep(0.01)
        guard.request("SIGUSR2")

    threading.Thread(target=stop_when_all_have_begun, daemon=True).start()
    assert execute(sweep, first, guard) == ExitCode.REQUEUE
    stopped = directories(sweep)[: 2 if first > 1 else 1]
    for directory in stopped:
        event = read_ledger(directory.ledger_path)[-1]
        assert (event.kind, event.reason) == (EventKind.PREEMPTED, "SIGUSR2")
        assert 0 < event.step < 600
        # In a pack one file, for a site counts them.
        assert directory.final_state_path.exists() is (first > 1)
    assert execute(sweep, then) == ExitCode.COMPLETE
    for one, other in zip(directories(sweep), directories(never_stopped), strict=True):
        assert_same_run(one.path, other.path)
