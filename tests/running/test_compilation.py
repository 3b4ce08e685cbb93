"""What the compiled programs of a run depend on, by what is left in the cache."""

import threading
import time
from collections import OrderedDict
from contextlib import ExitStack
from types import SimpleNamespace
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax._src import compilation_cache as of_jax

from simplexity.composition import compose
from simplexity.host import PreemptionGuard
from simplexity.running import _build, _compilation, _kept_programs
from simplexity.running._attempt import _train_steps
from simplexity.running._build import build
from simplexity.running._compilation import BackgroundCompilation, compilation_cache
from simplexity.running._coordinator import Coordinator
from simplexity.running._kept_programs import kept_program
from simplexity.running._optimizer import build_optimizer
from simplexity.running._private_jax import cache_in_use

SMALL = (
    "training.batch_size=2",
    "training.sequence_len=4",
    "validation.batch_size=2",
    "predictive_model.instance.hidden_size=2",
    "predictive_model.instance.num_layers=1",
)
PROCESS = "training_data_generator.instance"
RATE = "training.optimizer.instance.learning_rate"


class Never:
    def requested(self):
        return False


def compile_programs(*overrides):
    """Compiles all programs of a run."""
    experiment = build(compose("experiment", [*SMALL, *overrides]))
    with compilation_cache():
        state = experiment.initial_state()
        programs = BackgroundCompilation(experiment, state).wait(Never())
    assert programs is not None
    return programs, state


def step_and_validate(*overrides):
    """Compiles and runs all programs of a run once."""
    programs, state = compile_programs(*overrides)
    with compilation_cache():
        state = programs.train_steps(state, 1)
        assert programs.validation is not None
        assert programs.validation(state) is not None
    return state


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Names of the programs in the cache, fewer than there are if this process has some of them already."""
    monkeypatch.setenv("SIMPLEXITY_CACHE", str(tmp_path))
    return lambda: sorted(path.name for path in tmp_path.rglob("jit_*"))


@pytest.fixture
def kept(monkeypatch):
    """The programs that this process keeps: none at first."""
    monkeypatch.setattr(_kept_programs, "_programs", OrderedDict())
    return _kept_programs._programs


VALUES = {
    "seed": ["seed=5"],
    "optimizer": [f"{RATE}=0.5", "training.gradient_clip_norm=0.5", "training.optimizer.instance.b1=0.8"],
    "a whole learning rate": [f"{RATE}=1"],
    "process": [f"{PROCESS}.x=0.2", f"{PROCESS}.a=0.7"],
}


@pytest.mark.slow
def test_the_compiler_gets_the_same_program_whatever_the_values(programs, kept):
    step_and_validate()
    first = programs()
    assert all(any(name in program for program in first) for name in ("train_steps", "initial_state", "score"))
    states = []
    for overrides in VALUES.values():
        kept.clear()
        states.append(step_and_validate(*overrides))
    assert programs() == first
    assert len({float(jnp.sum(jnp.abs(state.model.head.weight))) for state in states}) == len(states)
    kept.clear()
    step_and_validate("training.batch_size=4")
    assert programs() != first, "this test could not fail"


def test_runs_that_differ_in_values_call_the_programs_of_the_first(kept, monkeypatch):
    step_and_validate()
    first = dict(kept)
    assert len(first) == 3
    monkeypatch.setattr(jax.stages.Lowered, "compile", None)
    for overrides in VALUES.values():
        step_and_validate(*overrides)
    assert dict(kept) == first


def test_the_first_steps_do_not_wait_for_the_validation(kept, monkeypatch):
    usual, may_compile = _compilation._validation, threading.Event()
    monkeypatch.setattr(_compilation, "_validation", lambda *of: may_compile.wait(60) and usual(*of))
    programs, state = compile_programs()
    state = programs.train_steps(state, 1)
    assert programs.validation is not None
    assert programs.validation(state, lambda: True) is None
    may_compile.set()
    assert programs.validation(state) is not None


def test_a_validation_that_cannot_be_compiled_ends_the_run_within_a_call(kept, monkeypatch):
    monkeypatch.setattr(_compilation, "_validation", mock.Mock(side_effect=RuntimeError("validation takes 9 TB")))
    programs, state = compile_programs()
    assert programs.validation is not None
    while not programs.validation._made.done():
        time.sleep(0.001)
    coordinator = Coordinator(PreemptionGuard())
    coordinator._workers = mock.Mock()
    with pytest.raises(RuntimeError, match="9 TB"):
        _train_steps(programs, coordinator)(state, 1)
    # The workers would wait in a computation that this process never joins.
    coordinator._workers.command.assert_not_called()
    with pytest.raises(RuntimeError, match="9 TB"):
        programs.validation(state)


class Traced:
    """In place of a run's programs, which take seconds to compile: the initial state's shapes."""

    def __init__(self, experiment):
        self._program = _build._state_program(experiment)
        self.compiled = SimpleNamespace(memory_analysis=lambda: None)

    def __call__(self, arguments):
        return eqx.filter_eval_shape(self._program, arguments)


def keys_of(*overrides):
    """The keys of a run's programs, none of which is compiled."""
    experiment = build(compose("experiment", [*overrides]))
    keys = []

    def record(key, compiled):
        keys.append(key)
        return Traced(experiment)

    with pytest.MonkeyPatch.context() as patch:
        for module in (_build, _compilation):
            patch.setattr(module, "kept_program", record)
        BackgroundCompilation(experiment, experiment.initial_state())._thread.join()
    assert len(keys) == 3
    return keys


TRANSFORMER = ("predictive_model=transformer", "predictive_model.instance.initialization=0.5")


@pytest.fixture(scope="module")
def first():
    return set(keys_of(*TRANSFORMER))


@pytest.mark.parametrize(
    ("override", "num_new"),
    [
        ("training.batch_size=4", 2),
        ("validation.batch_size=4", 1),
        ("predictive_model.instance.activation=relu", 3),
        ("predictive_model.instance.initialization=0.25", 0),
        ("predictive_model.instance.initialization=gpt2", 3),
        ("training.gradient_clip_norm=null", 2),
        ("training/schedule=cosine", 2),
        ("training_data_generator=even_ones", 3),
        ("training_data_generator.bos_token=auto", 3),
    ],
)
def test_what_is_not_a_value_has_programs_of_its_own(first, override, num_new):
    assert len(set(keys_of(*TRANSFORMER, override)) - first) == num_new


COIN = "simplexity.generative_processes.coin"
PROCESSES = {
    "product": (
        f"{{_target_:simplexity.generative_processes.product,factors:[{{_target_:{COIN},p:P}},{{_target_:{COIN},p:0.3}}]}}"
    ),
    "joint noise": (
        "{_target_:simplexity.generative_processes.noisy,epsilon:P,process:{_target_:simplexity.generative_processes."
        f"product,factors:[{{_target_:{COIN},p:P}},{{_target_:{COIN},p:0.3}}]}}}}"
    ),
    "mixture": (
        f"{{_target_:simplexity.generative_processes.nonergodic,components:[{{_target_:{COIN},p:P}},"
        f"{{_target_:{COIN},p:0.3}}],weights:[0.5,0.5],vocab_maps:shared}}"
    ),
    "GHMM": "{_target_:simplexity.generative_processes.tom_quantum,alpha:P,beta:3.0}",
}


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_processes_that_differ_in_numbers_share_programs(process):
    one, other = (
        keys_of("~training_data_generator.instance", f"+training_data_generator.instance={process.replace('P', p)}")
        for p in ("0.6", "0.7")
    )
    assert one == other


def test_the_programs_that_are_kept_are_bounded(kept):
    for number in range(60):
        assert kept_program(number, lambda number=number: number) == number
        kept_program(0, lambda: pytest.fail("what is used stays"))
    assert len(kept) < 60
    assert 1 not in kept


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
    assert optimizer.learning_rate(5, lambda: ()) == pytest.approx(0.05)


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


def test_blocks_that_overlap_as_those_of_threads_do_use_the_cache_of_the_first(programs):
    usual = of_jax._cache
    first, second = ExitStack(), ExitStack()
    first.enter_context(compilation_cache())
    cache = cache_in_use()
    assert cache is not None
    assert of_jax._cache is cache
    second.enter_context(compilation_cache())
    assert of_jax._cache is cache_in_use() is cache
    first.close()
    assert of_jax._cache is cache_in_use() is cache
    second.close()
    assert of_jax._cache is usual
    assert cache_in_use() is None
