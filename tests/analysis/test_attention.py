"""Attention by distance, of attention that is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from simplexity.analysis import _batches, attention_by_distance
from simplexity.predictive_models import GRU, Transformer

TOKENS = jnp.asarray(np.random.default_rng(0).integers(3, size=(5, 6)))


def test_heads_without_weights_attend_to_all_tokens_alike():
    model = Transformer(8, 2, 2, None, "learned", vocab_size=3, sequence_len=6, key=jax.random.key(0))
    plain = eqx.tree_at(
        lambda model: model.blocks[1].attention.queries_keys_values.weight, model, replace_fn=jnp.zeros_like
    )
    found = attention_by_distance(plain, TOKENS)
    assert list(found) == ["layer_0.attention", "layer_1.attention"]
    # The token at distance d is there for positions d, d + 1, ..., which attend to d + 1, d + 2, ... tokens.
    expected = [np.mean([1 / (position + 1) for position in range(distance, 6)]) for distance in range(6)]
    np.testing.assert_allclose(found["layer_1.attention"], [expected, expected], rtol=1e-6)


def test_weights_are_those_of_a_mean_over_sequences(monkeypatch):
    model = Transformer(8, 1, 2, None, "learned", vocab_size=3, sequence_len=6, key=jax.random.key(0))
    model = eqx.tree_at(
        lambda model: model.blocks[0].attention.queries_keys_values.weight, model, replace_fn=lambda w: 50 * w
    )
    one, other = (attention_by_distance(model, TOKENS[row : row + 1])["layer_0.attention"] for row in (0, 3))
    assert np.abs(one - other).max() > 0.01
    monkeypatch.setattr(_batches, "_BATCH_SIZE", 2)
    both = attention_by_distance(model, TOKENS, np.array([0.5, 0, 0, 1.5, 0]))["layer_0.attention"]
    np.testing.assert_allclose(both, 0.25 * one + 0.75 * other, atol=1e-6)


def test_a_model_without_attention_has_none():
    assert attention_by_distance(GRU(4, 1, vocab_size=3, key=jax.random.key(0)), TOKENS) == {}
