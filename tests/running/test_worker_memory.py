"""What a process that executes many runs keeps of those that have ended: nothing that grows."""

import gc
import threading
from contextlib import redirect_stdout
from io import StringIO

import jax
import pytest

from simplexity.composition import SectionCheck, compose, freeze
from simplexity.host import PreemptionGuard
from simplexity.running import _resume
from simplexity.runs import ExitCode, RunDirectory

TINY = (
    "training.num_train_steps=2",
    "training.batch_size=2",
    "training.sequence_len=4",
    "predictive_model.instance.hidden_size=2",
    "predictive_model.instance.num_layers=1",
)
# The first runs fill caches of bounded size.
WARM_UP, RUNS = 3, 10


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Executes the run of a seed in this process, as a worker does -> its exit code."""
    monkeypatch.setattr(_resume, "log_to", lambda path: None)
    monkeypatch.setenv("SIMPLEXITY_CACHE", str(tmp_path / "cache"))
    config, problems_of = compose("train_model", TINY), SectionCheck()

    def run(seed: int) -> int:
        directory = RunDirectory.create(tmp_path / str(seed))
        config.seed = seed
        freeze(config, directory.path)
        with redirect_stdout(StringIO()):
            return _resume.execute_frozen(directory.path, PreemptionGuard(), "x.log", problems_of=problems_of)

    return run


@pytest.mark.slow
def test_a_worker_keeps_nothing_of_a_run_that_has_ended(execute):
    def kept() -> tuple[int, int, int]:
        gc.collect()
        return len(jax.live_arrays()), threading.active_count(), len(gc.get_objects())

    assert [execute(seed) for seed in range(WARM_UP)] == [ExitCode.COMPLETE] * WARM_UP
    arrays, threads, objects = kept()
    assert [execute(WARM_UP + seed) for seed in range(RUNS)] == [ExitCode.COMPLETE] * RUNS
    later = kept()
    assert later[:2] == (arrays, threads)
    # A state, a ledger or a config alone has hundreds.
    assert later[2] - objects < 100 * RUNS
