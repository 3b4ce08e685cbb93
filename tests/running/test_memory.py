"""Runs that need more memory than there is end in one line, before they take it."""

from types import SimpleNamespace
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.errors import JaxRuntimeError

from simplexity.composition import compose
from simplexity.host import usable_memory_bytes
from simplexity.running._build import build
from simplexity.running._compilation import BackgroundCompilation
from simplexity.running._memory import out_of_memory_in_one_line, require_memory
from simplexity.running._program import Program

BATCH = ["training.sequence_len=64", "predictive_model.instance.hidden_size=8", "validation.batch_size=4"]


def compile_(overrides):
    experiment = build(compose("experiment", [*BATCH, *overrides]))
    state = experiment.initial_state()
    compilation = BackgroundCompilation(experiment, state)

    class Never:
        def requested(self):
            return False

    programs = compilation.wait(Never())
    compilation._thread.join()
    programs.validation.checked_before(programs.train_steps)(state, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.batch_size=10000000"], r"a training step takes [\d.,]+ GB, .*smaller `training.batch_size`"),
        (["validation.batch_size=10000000"], r"validation takes [\d.,]+ GB, .*smaller `validation.batch_size`"),
    ],
)
def test_a_program_that_is_too_large_is_not_run(overrides, message, monkeypatch):
    monkeypatch.setattr("simplexity.running._memory.usable_memory_bytes", lambda: 8 * 10**9)
    with pytest.raises(RuntimeError, match=rf"^out of memory: {message}"):
        compile_(overrides)


def test_a_model_that_is_too_large_is_not_made():
    experiment = build(compose("experiment", ["predictive_model.instance.hidden_size=10000000"]))
    with pytest.raises(RuntimeError, match=r"^out of memory: the model and its optimizer take .* GB, and the cpu has"):
        experiment.initial_state()


def test_a_program_that_fits_passes():
    require_memory(eqx.filter_jit(lambda x: x + 1).lower(jnp.ones(3)).compile(), "this takes")


def test_a_program_that_many_runs_share_is_analysed_once(monkeypatch):
    sizes = dict.fromkeys(("argument", "output", "temp", "alias"), 10**9)
    analysis = SimpleNamespace(**{f"{name}_size_in_bytes": size for name, size in sizes.items()})
    compiled = mock.Mock(spec=jax.stages.Compiled)
    compiled.memory_analysis.return_value = analysis
    program = Program(compiled, ())
    require_memory(program, "this takes")
    monkeypatch.setattr("simplexity.running._memory.usable_memory_bytes", lambda: 10**9)
    with pytest.raises(RuntimeError, match=r"this takes 2\.0 GB, and the cpu has 1\.0 GB"):
        require_memory(program, "this takes")
    compiled.memory_analysis.assert_called_once_with()


def test_what_fails_for_want_of_memory_names_the_keys():
    with (
        pytest.raises(RuntimeError, match=r"^out of memory: Out of memory allocating \d+ bytes\. choose a smaller `tr"),
        out_of_memory_in_one_line(),
    ):
        jax.block_until_ready(jnp.zeros((2**30, 2**17)))
    with (
        pytest.raises(RuntimeError, match=r"^out of memory: Unable to allocate .*; choose a smaller `tr"),
        out_of_memory_in_one_line(),
    ):
        np.zeros((2**30, 2**20))
    with pytest.raises(RuntimeError, match=r"^out of memory: Python got no"), out_of_memory_in_one_line():
        raise MemoryError
    with pytest.raises(JaxRuntimeError, match="INTERNAL"), out_of_memory_in_one_line():
        raise JaxRuntimeError("INTERNAL: a fault of another kind")


def test_the_usable_memory_is_at_most_the_machine_s():
    assert 2**26 < usable_memory_bytes() < 2**50
