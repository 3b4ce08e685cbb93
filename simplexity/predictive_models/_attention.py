"""Causal attention with several heads, and rotary positions."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._linear import Deviation, Linear, normal
from ._predictive_model import ActivationRecorder

# The base of the rotary frequencies in the reference of `rotate`.
_ROTARY_BASE = 10000.0


class Attention(eqx.Module):
    """Causal attention with several heads. Reference: Vaswani et al. (2017), arXiv:1706.03762, section 3.2."""

    queries_keys_values: Linear
    output: Linear
    num_heads: int = eqx.field(static=True)
    rotary: bool = eqx.field(static=True)

    def __init__(
        self,
        model_size: int,
        num_heads: int,
        head_size: int,
        rotary: bool,
        in_deviation: Deviation,
        out_deviation: Deviation,
        *,
        key: PRNGKeyArray,
    ):
        """Draws the weights: of queries, keys and values with `in_deviation`, of the output with `out_deviation`."""
        in_key, out_key = jax.random.split(key)
        width = num_heads * head_size
        self.queries_keys_values = Linear(model_size, 3 * width, normal(in_deviation), key=in_key)
        self.output = Linear(width, model_size, normal(out_deviation), key=out_key)
        self.num_heads = num_heads
        self.rotary = rotary

    def __call__(
        self, x: Float[Array, "batch length model"], recorder: ActivationRecorder, name: str
    ) -> Float[Array, "batch length model"]:
        """What the heads add to the residual stream at each position, from the vectors `x` up to it."""
        heads = self.queries_keys_values(x).reshape(*x.shape[:2], 3, self.num_heads, -1)
        queries, keys, values = (
            recorder.record(f"{name}/{part}", heads[:, :, index])
            for index, part in enumerate(("queries", "keys", "values"))
        )
        if self.rotary:
            queries, keys = rotate(queries), rotate(keys)
        pattern = recorder.record(f"{name}/pattern", attention_pattern(queries, keys))
        if recorder.is_edited(f"{name}/pattern"):
            mixed = jnp.einsum("bhts,bshe->bthe", pattern, values)
        else:
            mixed = jax.nn.dot_product_attention(queries, keys, values, is_causal=True)
        return self.output(mixed.reshape(*x.shape[:2], -1))


def attention_pattern(
    queries: Float[Array, "batch length heads head_size"], keys: Float[Array, "batch length heads head_size"]
) -> Float[Array, "batch heads length length"]:
    """How much each position (the last axis but one) attends to each position up to it; rows sum to 1."""
    length = queries.shape[1]
    scores = jnp.einsum("bthe,bshe->bhts", queries, keys) * queries.shape[-1] ** -0.5
    return jax.nn.softmax(scores, where=jnp.tri(length, dtype=bool))


def rotate(x: Float[Array, "*batch length heads head_size"]) -> Float[Array, "*batch length heads head_size"]:
    """Rotates unit pair (i, i + head_size / 2) at position t by the angle t · 10000^(-2 i / head_size).

    The product of a rotated query and a rotated key depends on their distance alone.

    References:
        Su et al., "RoFormer" (2021), arXiv:2104.09864, section 3.2.2, with the pairs of GPT-NeoX.
    """
    length, _, head_size = x.shape[-3:]
    half = head_size // 2
    angles = jnp.arange(length)[:, None, None] * _ROTARY_BASE ** (-jnp.arange(half) / half)
    cosine, sine = jnp.cos(angles), jnp.sin(angles)
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate((first * cosine - second * sine, second * cosine + first * sine), axis=-1)
