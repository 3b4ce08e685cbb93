"""What the compiled programs of a run depend on, by what is left in the cache."""

import jax.numpy as jnp
import pytest

from simplexity.composition import compose
from simplexity.running._build import build
from simplexity.running._compilation import BackgroundCompilation, compilation_cache
from simplexity.running._optimizer import build_optimizer

SMALL = (
    "training.batch_size=2",
    "training.sequence_len=4",
    "validation.batch_size=2",
    "predictive_model.instance.hidden_size=2",
    "predictive_model.instance.num_layers=1",
)
RATE = "training.optimizer.instance.learning_rate"


class Never:
    def requested(self):
        return False


def step_and_validate(*overrides):
    """Compiles and runs all programs of a run once."""
    experiment = build(compose("experiment", [*SMALL, *overrides]))
    with compilation_cache():
        state = experiment.initial_state()
        programs = BackgroundCompilation(experiment, state).wait(Never())
        assert programs is not None
        assert programs.validation is not None
        state = programs.train_steps(state, jnp.asarray(1, jnp.int32))
        assert programs.validation(state.model) is not None
    return state


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Names of the programs in the cache, fewer than there are if this process has some of them already."""
    monkeypatch.setenv("SIMPLEXITY_CACHE", str(tmp_path))
    return lambda: sorted(path.name for path in tmp_path.rglob("jit_*"))


@pytest.mark.slow
def test_runs_that_differ_in_seed_or_rates_share_their_programs(programs):
    step_and_validate()
    first = programs()
    assert any("train_steps" in name for name in first)
    assert any("state_of" in name for name in first)
    assert any("scores" in name for name in first)
    states = [
        step_and_validate(*overrides)
        for overrides in (
            ["seed=5"],
            [f"{RATE}=0.5", "training.gradient_clip_norm=0.5", "training.optimizer.instance.b1=0.8"],
            [f"{RATE}=1"],
        )
    ]
    assert programs() == first
    assert len({float(jnp.sum(jnp.abs(state.model.head.weight))) for state in states}) == 3
    step_and_validate("training.batch_size=4")
    assert programs() != first, "this test could not fail"


def numbers(*overrides):
    hyperparameters = build_optimizer(compose("experiment", overrides)).hyperparameters
    return sorted(hyperparameters.optimizer), sorted(hyperparameters.schedule), hyperparameters.gradient_clip_norm


def test_numbers_that_shape_a_program_stay_constants():
    assert numbers() == (["b1", "b2", "learning_rate"], [], 1.0)
    # It divides by the peak unless that is 0.
    warm_up = numbers("training/schedule=warmup_cosine", "training.gradient_clip_norm=null")
    assert warm_up == (["b1", "b2", "learning_rate"], ["end_value", "init_value"], None)
    sgd = numbers("training/optimizer=sgd", "training/schedule=cosine")
    assert sgd == (["learning_rate", "momentum"], ["alpha", "init_value"], 1.0)


def test_a_schedule_as_learning_rate_is_none_of_the_numbers():
    schedule = "{_target_: optax.linear_schedule, init_value: 0.1, end_value: 0.0, transition_steps: 10}"
    optimizer = build_optimizer(compose("experiment", [f"{RATE}={schedule.replace(': ', ':')}"]))
    assert sorted(optimizer.hyperparameters.optimizer) == ["b1", "b2"]
    assert optimizer.learning_rate(5, ()) == pytest.approx(0.05)


def test_without_a_place_for_programs_there_is_one_warning(monkeypatch, caplog):
    monkeypatch.setenv("SIMPLEXITY_CACHE", "/proc/nowhere")
    with compilation_cache():
        pass
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "/proc/nowhere/programs cannot be used (No such file or directory); set SIMPLEXITY_CACHE"
    )


def test_a_jax_that_takes_no_cache_of_ours_is_warned_of(programs, monkeypatch, caplog):
    monkeypatch.delattr("jax._src.compilation_cache._cache")
    with compilation_cache():
        pass
    (record,) = caplog.records
    assert "takes no cache of ours" in record.getMessage()
    assert programs() == []
