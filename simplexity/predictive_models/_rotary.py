"""Rotary positions."""

import jax.numpy as jnp
from jaxtyping import Array, Float

# The base of the rotary frequencies in the reference.
_BASE = 10000.0


def rotate(x: Float[Array, "*batch length heads head_size"]) -> Float[Array, "*batch length heads head_size"]:
    """Rotates unit pair (i, i + head_size / 2) at position t by the angle t · 10000^(-2 i / head_size).

    The product of a rotated query and a rotated key depends on their distance alone.

    References:
        Su et al., "RoFormer" (2021), arXiv:2104.09864, section 3.2.2, with the pairs of GPT-NeoX.
    """
    length, _, head_size = x.shape[-3:]
    half = head_size // 2
    angles = jnp.arange(length)[:, None, None] * _BASE ** (-jnp.arange(half) / half)
    cosine, sine = jnp.cos(angles), jnp.sin(angles)
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate((first * cosine - second * sine, second * cosine + first * sine), axis=-1)
