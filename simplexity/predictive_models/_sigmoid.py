"""The logistic function."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def sigmoid(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """σ(x) = (1 + tanh(x / 2)) / 2, for which XLA's CPU compiler has faster code than for 1 / (1 + exp(-x))."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5
