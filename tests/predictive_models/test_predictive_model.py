"""What holds for every model."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.predictive_models import PredictiveModel


@eqx.filter_jit
def _forward(model: PredictiveModel, tokens: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    return model.forward(tokens)


@eqx.filter_jit
def _one(model: PredictiveModel, row: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    return model(row), model.activations(row)


def _loss(model: PredictiveModel, logits_of: Callable, tokens: jax.Array) -> jax.Array:
    return jnp.sin(logits_of(model, tokens)).sum()


_gradient = eqx.filter_jit(eqx.filter_grad(_loss))


def _largest_difference(first: object, second: object) -> float:
    differences = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max()), first, second)
    return max(jax.tree.leaves(differences))


def test_logits_have_a_row_per_position_in_float32(model: PredictiveModel, tokens: jax.Array) -> None:
    logits, _ = _one(model, tokens[0])
    assert logits.shape == (tokens.shape[1], 3)
    assert logits.dtype == jnp.float32


def test_a_token_changes_no_logits_before_it(model: PredictiveModel, tokens: jax.Array) -> None:
    row = np.asarray(tokens[0])
    length = len(row)
    changed = (row + np.eye(length, dtype=row.dtype)) % 3
    logits = np.asarray(_forward(model, jnp.asarray(np.vstack((row, changed))))[0])
    for position, after in enumerate(logits[1:]):
        np.testing.assert_array_equal(after[:position], logits[0, :position])
        assert not np.allclose(after[position], logits[0, position])


def test_a_batch_is_its_sequences(model: PredictiveModel, tokens: jax.Array) -> None:
    logits, activations = _forward(model, tokens)
    np.testing.assert_allclose(eqx.filter_jit(lambda model: jax.vmap(model)(tokens))(model), logits, atol=1e-5)
    for index, row in enumerate(tokens):
        row_logits, row_activations = _one(model, row)
        # In the order of computation, also from a compiled function.
        assert list(row_activations) == list(activations) == list(jax.eval_shape(model.forward, tokens)[1])
        np.testing.assert_allclose(row_logits, logits[index], atol=1e-5)
        for name, values in row_activations.items():
            np.testing.assert_allclose(values, activations[name][index], atol=1e-5, err_msg=name)


def test_what_follows_an_edited_activation_is_computed_from_it(model: PredictiveModel, tokens: jax.Array) -> None:
    """Patching the first layer with that of other sequences gives their logits: nothing else leads to the head."""
    other = tokens[::-1]
    expected, of_other = _forward(model, other)
    logits, activations = model.forward(tokens, edit={"layer_0": lambda _: of_other["layer_0"]})
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_array_equal(activations["layer_0"], of_other["layer_0"])


@pytest.mark.parametrize("model", ["gru"], indirect=True)
def test_an_edit_that_has_no_place_is_refused(model: PredictiveModel, tokens: jax.Array) -> None:
    with pytest.raises(ValueError, match=r"no activation is named 'layer_9'; there are layer_0, layer_1$"):
        model.forward(tokens, edit={"layer_9": jnp.zeros_like})
    with pytest.raises(ValueError, match=r"the edit of 'layer_0' returned the shape \(4, 7\) in place of \(4, 7, 5\)"):
        model.forward(tokens, edit={"layer_0": lambda values: values[..., 0]})


def test_a_prefix_has_the_first_logits(model: PredictiveModel, tokens: jax.Array) -> None:
    np.testing.assert_allclose(_one(model, tokens[0, :1])[0], _one(model, tokens[0])[0][:1], atol=1e-5)


def _by_forward(model: PredictiveModel, tokens: jax.Array) -> jax.Array:
    return model.forward(tokens)[0]


def test_the_gradient_is_bitwise_the_same_every_time_and_reaches_every_weight(
    model: PredictiveModel, tokens: jax.Array
) -> None:
    first = _gradient(model, _by_forward, tokens)
    assert all(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(first))
    for _ in range(5):
        assert eqx.tree_equal(first, _gradient(model, _by_forward, tokens))


@pytest.mark.parametrize("model", ["gru", "lstm", "rnn", "only_a_step"], indirect=True)
def test_gradients_agree_in_every_order_of_transformations(model: PredictiveModel, tokens: jax.Array) -> None:
    batched = _gradient(model, _by_forward, tokens)
    vmapped = _gradient(model, lambda model, tokens: jax.vmap(model)(tokens), tokens)
    per_row = eqx.filter_vmap(lambda row: eqx.filter_grad(_loss)(model, lambda model, row: model(row), row))
    each = eqx.filter_jit(per_row)(tokens)
    assert _largest_difference(batched, vmapped) < 1e-4
    assert _largest_difference(batched, jax.tree.map(lambda leaf: leaf.sum(axis=0), each)) < 1e-4
