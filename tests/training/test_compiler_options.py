"""Options that a version of XLA lacks are left out; a compiler that fails for another reason is no such version."""

import jax
import pytest

from simplexity.training import _compiler_options, unknown_option
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
    assert compiler_options.__wrapped__() == {}
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
        compiler_options.__wrapped__()
