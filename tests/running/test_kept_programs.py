"""Runs that one process executes one after the other: what it keeps of one changes no bit of another."""

from collections import OrderedDict

import pytest

from simplexity.composition import compose, freeze
from simplexity.host import PreemptionGuard
from simplexity.running import _kept_programs, run_frozen
from tests.small_runs import GRU, SMALL, assert_same_run

RUNS = {
    "first": (),
    "other values": (
        "seed=1",
        "training.optimizer.instance.learning_rate=0.01",
        "training_data_generator.instance.x=0.2",
    ),
    "other batch": ("training.batch_size=2",),
    "other process": ("training_data_generator=even_ones", "training_data_generator.bos_token=auto"),
}


@pytest.fixture
def execute(tmp_path, monkeypatch, own_logging):
    monkeypatch.setenv("SIMPLEXITY_CACHE", str(tmp_path / "cache"))

    def execute(folder, names):
        monkeypatch.setattr(_kept_programs, "_programs", OrderedDict())
        for name in names:
            run_dir = tmp_path / folder / name
            run_dir.mkdir(parents=True)
            freeze(compose("experiment", [*SMALL, *GRU, *RUNS[name]]), run_dir)
            with PreemptionGuard() as guard:
                assert run_frozen(run_dir, guard, None) == 0
        return tmp_path / folder

    return execute


@pytest.mark.slow
def test_the_order_of_runs_changes_no_bit_of_them(execute):
    one = execute("one", RUNS)
    # Two share all three programs; another batch has its own, but for validation's; another process has its own.
    assert len(_kept_programs._programs) == 3 + 2 + 3
    other = execute("other", reversed(RUNS))
    for name in RUNS:
        assert_same_run(one / name, other / name)
