"""Attention by distance, of attention that is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.analysis import attention_by_distance
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


def test_a_model_without_attention_is_refused():
    with pytest.raises(ValueError, match="GRU has no attention patterns"):
        attention_by_distance(GRU(4, 1, vocab_size=3, key=jax.random.key(0)), TOKENS)
