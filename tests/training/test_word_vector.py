"""A vector of words keeps every bit of what is written into it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.training._word_vector import WordVector


def test_words_keep_every_bit_of_every_type():
    tree = {
        "floats": jnp.array([0.0, -0.0, jnp.nan, 1e-42, jnp.inf]),
        "halves": jnp.array([1.5, -0.0], jnp.bfloat16),
        "numbers": jnp.array([[-1, 2**31 - 1]], jnp.int32),
        "flags": jnp.array([True, False]),
        "key": jax.random.key(3),
        "empty": jnp.zeros((0, 3)),
        "name": "kept",
    }
    vector = WordVector(tree)
    words = jax.jit(vector.write)({name: value for name, value in tree.items() if name != "name"})
    assert words.shape == (vector.num_words,)
    back = vector.read(words)
    assert back["name"] == "kept"
    assert (jax.random.key_data(back["key"]) == jax.random.key_data(tree["key"])).all()
    for name in ("floats", "halves", "numbers", "flags", "empty"):
        assert (back[name].dtype, back[name].shape) == (tree[name].dtype, tree[name].shape)
        assert jax.device_get(back[name]).tobytes() == jax.device_get(tree[name]).tobytes()


def test_numbers_of_64_bits_are_refused():
    with jax.enable_x64(True), pytest.raises(TypeError, match="float64"):
        WordVector({"long": jnp.asarray(np.zeros(1), jnp.float64)})
