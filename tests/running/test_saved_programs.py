"""Programs that a later process loads without tracing them: the same bits, and none that could be another one."""

from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from simplexity.composition import compose
from simplexity.running import _kept_programs, _program_names
from simplexity.running._build import build
from simplexity.running._compilation import BackgroundCompilation, compilation_cache
from simplexity.running._kept_programs import structure_of
from simplexity.running._program_names import program_name

SMALL = ("training.batch_size=2", "training.sequence_len=4", "validation.batch_size=2")
GRU = ("predictive_model.instance.hidden_size=2", "predictive_model.instance.num_layers=1")


class Never:
    def requested(self):
        return False


@pytest.fixture
def known(monkeypatch):
    """As in a process that has imported no tests."""
    monkeypatch.setattr(_program_names, "_require_known_modules", lambda: None)
    monkeypatch.setattr(_program_names, "_code", lambda: "code")


@pytest.fixture
def as_new_process(tmp_path, monkeypatch):
    """Builds, trains and validates a run with the programs in the folder alone; its numbers."""
    monkeypatch.setenv("SIMPLEXITY_CACHE", str(tmp_path))

    def as_new_process(*overrides):
        monkeypatch.setattr(_kept_programs, "_programs", OrderedDict())
        experiment = build(compose("experiment", [*SMALL, *GRU, *overrides]))
        with compilation_cache():
            state = experiment.initial_state()
            programs = BackgroundCompilation(experiment, state).wait(Never())
            assert programs is not None
            assert programs.validation is not None
            state = programs.train_steps(state, 3)
            validated = programs.validation(state)
        assert validated is not None
        return [np.asarray(leaf) for leaf in jax.tree.leaves(state.model)], validated.kl_per_position

    return as_new_process


def saved(folder):
    return sorted(folder.rglob("program-*"))


def test_a_later_process_loads_the_programs_and_computes_the_same_bits(known, as_new_process, tmp_path, monkeypatch):
    traced = as_new_process()
    assert len(saved(tmp_path)) == 3
    with monkeypatch.context() as patched:
        patched.setattr("simplexity.running._program.Lowerable.lower", None)
        # The values are arguments.
        other = as_new_process("seed=7")
        loaded = as_new_process()
    jax.tree.map(np.testing.assert_array_equal, loaded, traced)
    assert not np.array_equal(other[1], traced[1])


@pytest.mark.slow
def test_what_cannot_be_loaded_is_compiled(known, as_new_process, tmp_path):
    traced = as_new_process()
    for path in saved(tmp_path):
        path.write_bytes(path.read_bytes()[:-1])
    jax.tree.map(np.testing.assert_array_equal, as_new_process(), traced)


def test_a_process_that_has_imported_code_of_others_saves_nothing(as_new_process, tmp_path):
    as_new_process()  # these tests are such code
    assert saved(tmp_path) == []


class OfTheUser:
    pass


def test_only_what_is_known_for_certain_has_a_name(known):
    assert program_name(("training", optax.adam)) is not None
    assert program_name(("training", OfTheUser())) is None
    assert program_name(("training", OfTheUser)) is None
    assert program_name(("training", lambda: None)) is None
    assert program_name(("training", structure_of([OfTheUser()]))) is None
    assert program_name('{"_target_": "simplexity.predictive_models.GRU"}') is not None
    assert program_name('{"_target_": "simplexity.predictive_models.GRU", "cell": {"_target_": "mine.Cell"}}') is None


def test_the_name_depends_on_all_that_a_program_depends_on(known, monkeypatch):
    jnp_ones = structure_of({"weight": jnp.ones(3), "rate": 1})
    keys = [
        ("training", jnp_ones),
        ("validation", jnp_ones),
        ("training", structure_of({"weight": jnp.ones(3), "rate": 1.0})),
        ("training", structure_of({"weight": jnp.ones(4), "rate": 1})),
        ("training", structure_of({"weight": jnp.ones(3, jnp.int32), "rate": 1})),
        ("training", structure_of({"bias": jnp.ones(3), "rate": 1})),
        (("training", jnp_ones),),
    ]
    names = [program_name(key) for key in keys]
    assert None not in names
    assert len(set(names)) == len(names)
    assert program_name(("training", structure_of({"weight": jnp.zeros(3), "rate": 1}))) == names[0]
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    assert program_name(keys[0]) not in names


def test_precision_and_code_have_names_of_their_own(known, monkeypatch):
    first = program_name("training")
    with jax.default_matmul_precision("highest"):
        assert program_name("training") != first
    monkeypatch.setattr(_program_names, "_code", lambda: "other code")
    assert program_name("training") not in (None, first)


def test_code_that_changes_while_a_process_runs_is_not_known(monkeypatch):
    monkeypatch.setattr(_program_names, "_began_s", lambda: float("inf"))
    assert _program_names._code.__wrapped__() == _program_names._code.__wrapped__()
    monkeypatch.setattr(_program_names, "_began_s", lambda: 0.0)
    with pytest.raises(_program_names._UnknownError):
        _program_names._code.__wrapped__()
