"""What holds for every model."""

import re
from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from simplexity.predictive_models import PredictiveModel

from .conftest import LENGTH, MAKERS


@eqx.filter_jit
def _forward(model: PredictiveModel, tokens: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    return model.forward(tokens)


@eqx.filter_jit
def _one(model: PredictiveModel, row: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    return model(row), model.activations(row)


@eqx.filter_jit
def _edited(model: PredictiveModel, tokens: jax.Array, layer_0: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    return model.forward(tokens, edit={"layer_0": lambda _: layer_0})


def _loss(model: PredictiveModel, logits_of: Callable, tokens: jax.Array) -> jax.Array:
    return jnp.sin(logits_of(model, tokens)).sum()


_gradient = eqx.filter_jit(eqx.filter_grad(_loss))


def _largest_difference(first: object, second: object) -> float:
    differences = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max()), first, second)
    return max(jax.tree.leaves(differences))


def test_every_model_that_has_a_file_is_among_those_that_are_checked():
    files = sorted(Path(__file__).parents[2].glob("simplexity/configs/predictive_model/*.yaml"))
    targets = {yaml.safe_load(path.read_text())["instance"]["_target_"].rpartition(".")[2] for path in files}
    assert {"GRU", "Transformer"} <= targets
    checked = {maker.func.__name__ for maker in MAKERS.values()}
    assert targets - checked == set(), "add to MAKERS in tests/predictive_models/conftest.py"


def test_a_token_changes_no_logits_before_it(model: PredictiveModel, tokens: jax.Array) -> None:
    row = np.asarray(tokens[0])
    changed = (row + np.eye(len(row), dtype=row.dtype)) % 3
    logits = np.asarray(_forward(model, jnp.asarray(np.vstack((row, changed))))[0])
    for position, after in enumerate(logits[1:]):
        np.testing.assert_array_equal(after[:position], logits[0, :position])
        assert not np.allclose(after[position], logits[0, position])


def test_a_batch_is_its_sequences(model: PredictiveModel, tokens: jax.Array) -> None:
    logits, activations = _forward(model, tokens)
    rows, activations_of_rows = jax.vmap(_one, in_axes=(None, 0))(model, tokens)
    # In the order of computation, also from a compiled function.
    assert list(activations_of_rows) == list(activations) == list(jax.eval_shape(model.forward, tokens)[1])
    np.testing.assert_allclose(rows, logits, atol=1e-5)
    for name, values in activations_of_rows.items():
        np.testing.assert_allclose(values, activations[name], atol=1e-5, err_msg=name)


def test_what_follows_an_edited_activation_is_computed_from_it(model: PredictiveModel, tokens: jax.Array) -> None:
    """Patching the first layer with that of other sequences gives their logits: nothing else leads to the head."""
    other = tokens[::-1]
    expected, of_other = _forward(model, other)
    logits, activations = _edited(model, tokens, of_other["layer_0"])
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_array_equal(activations["layer_0"], of_other["layer_0"])


@pytest.mark.parametrize("model", ["gru"], indirect=True)
def test_an_edit_that_has_no_place_is_refused(model: PredictiveModel, tokens: jax.Array) -> None:
    with pytest.raises(ValueError, match=r"no activation is named 'layer_9'; there are layer_0, layer_1$"):
        model.forward(tokens, edit={"layer_9": jnp.zeros_like})
    with pytest.raises(ValueError, match=r"the edit of 'layer_0' returned the shape \(8, 7\) in place of \(8, 7, 5\)"):
        model.forward(tokens, edit={"layer_0": lambda values: values[..., 0]})


def test_a_prefix_has_the_first_logits(model: PredictiveModel, tokens: jax.Array) -> None:
    """A row per position, in float32."""
    logits, _ = _one(model, tokens[0, :2])
    assert (logits.shape, logits.dtype) == ((2, 3), jnp.float32)
    np.testing.assert_allclose(logits, _forward(model, tokens)[0][0, :2], atol=1e-5)


def _by_forward(model: PredictiveModel, tokens: jax.Array) -> jax.Array:
    return model.forward(tokens)[0]


def test_the_gradient_is_bitwise_the_same_every_time_and_reaches_every_weight(
    model: PredictiveModel, tokens: jax.Array
) -> None:
    first, *others = [jax.tree.leaves(jax.device_get(_gradient(model, _by_forward, tokens))) for _ in range(6)]
    assert all(np.any(leaf) for leaf in first)
    for other in others:
        assert [leaf.tobytes() for leaf in first] == [leaf.tobytes() for leaf in other]


@pytest.mark.parametrize("model", ["gru", "lstm", "rnn", "only_a_step"], indirect=True)
def test_gradients_agree_in_every_order_of_transformations(model: PredictiveModel, tokens: jax.Array) -> None:
    batched = _gradient(model, _by_forward, tokens)
    vmapped = _gradient(model, lambda model, tokens: jax.vmap(model)(tokens), tokens)
    per_row = eqx.filter_vmap(lambda row: eqx.filter_grad(_loss)(model, lambda model, row: model(row), row))
    each = eqx.filter_jit(per_row)(tokens)
    assert _largest_difference(batched, vmapped) < 1e-4
    assert _largest_difference(batched, jax.tree.map(lambda leaf: np.asarray(leaf).sum(axis=0), each)) < 1e-4


@pytest.mark.parametrize(
    ("row", "maker"),
    [
        ("gru, lstm, rnn", "embedded"),
        ("gru, lstm, rnn", "lstm"),
        ("transformer, attention_only (without mlp)", "learned"),
        ("transformer, attention_only (without mlp)", "attention_only"),
        ("selective_ssm", "selective_ssm"),
    ],
)
def test_the_table_of_docs_has_the_names_of_activations(row, maker):
    page = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text(encoding="utf-8")
    cells = [re.search(rf"^\| {re.escape(name)} \| (.*) \|$", page, re.MULTILINE) for name in ("all", row)]
    documented = {name for cell in cells if cell for name in re.findall(r"`(.*?)`", cell[1])}
    model = eqx.filter_eval_shape(MAKERS[maker], vocab_size=3, key=jax.random.key(0))
    _, activations = eqx.filter_eval_shape(type(model).forward, model, jnp.zeros((1, LENGTH), jnp.int32))
    names = {name for name in activations if not name.startswith("layer_1")}
    assert names <= documented
    if maker == "attention_only":
        documented = {name for name in documented if "mlp" not in name}
    # A row of several recurrent models has names that one of them lacks.
    assert maker in ("embedded", "lstm") or names == documented
