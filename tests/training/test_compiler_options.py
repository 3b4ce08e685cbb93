"""Options that a version of XLA lacks are left out; a compiler that fails for another reason is no such version."""

import equinox as eqx
import jax
import pytest

from simplexity.predictive_models import GRU, LSTM, RNN, Transformer
from simplexity.training import TrainingSettings, _compiler_options, step_compiler_options, unknown_option
from simplexity.training._compiler_options import compiler_options


@pytest.mark.parametrize(
    "options",
    [
        {"xla_cpu_of_another_version": True},
        {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_OF_ANOTHER_VERSION"},
    ],
)
def test_a_jax_without_the_compiler_options_trains_with_its_defaults_and_says_so(options, monkeypatch, caplog):
    monkeypatch.setattr(_compiler_options, "_CPU_OPTIONS", options)
    assert compiler_options.__wrapped__(False) == {}
    (record,) = caplog.records
    assert next(iter(options)) in record.getMessage()
    assert "\n" not in record.getMessage()


def test_a_compiler_that_fails_for_another_reason_changes_no_options(monkeypatch):
    def fail(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 64 bytes.")

    monkeypatch.setattr(jax.stages.Lowered, "compile", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        unknown_option({"xla_backend_optimization_level": 0})
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        compiler_options.__wrapped__(True)


class Own(eqx.Module):
    """A user's model is any module with `forward`."""


def layers_of(kind, units):
    return kind(units, 1, vocab_size=3, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("model", "batch_size", "sequence_len", "expected"),
    [
        (layers_of(GRU, 48), 128, 64, False),
        (layers_of(LSTM, 48), 8, 8, False),
        (layers_of(GRU, 48), 4, 8, True),
        (layers_of(GRU, 47), 128, 64, True),
        (layers_of(RNN, 48), 128, 64, True),
        (Transformer(8, 1, 2, 16, "learned", vocab_size=3, sequence_len=6, key=jax.random.key(0)), 128, 6, True),
        (Own(), 128, 64, True),
        # 9 rows are divided into micro-batches of 3.
        (layers_of(GRU, 48), 9, 1024, True),
    ],
)  # fmt: skip
def test_wide_gates_of_many_rows_are_multiplied_without_the_library(model, batch_size, sequence_len, expected):
    settings = TrainingSettings(1, batch_size, sequence_len, 1, False, None)
    assert step_compiler_options(settings, model) is compiler_options(expected)
