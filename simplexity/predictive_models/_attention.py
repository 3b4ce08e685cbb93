"""Causal attention with several heads, and rotary positions."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._linear import Deviation, Linear, normal
from ._predictive_model import ActivationRecorder

# The queries of a block on a CPU, unless there would be too many blocks, which are compiled one by one.
_FEWEST_QUERIES = 128
_MOST_BLOCKS = 8
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
            mixed = causal_attention(queries, keys, values)
        return self.output(mixed.reshape(*x.shape[:2], -1))


def attention_pattern(
    queries: Float[Array, "batch length heads head_size"], keys: Float[Array, "batch length heads head_size"]
) -> Float[Array, "batch heads length length"]:
    """How much each position (the last axis but one) attends to each position up to it; rows sum to 1."""
    length = queries.shape[1]
    scores = jnp.einsum("bthe,bshe->bhts", queries, keys) * queries.shape[-1] ** -0.5
    return jax.nn.softmax(scores, where=jnp.tri(length, dtype=bool))


def causal_attention(
    queries: Float[Array, "batch length heads head_size"],
    keys: Float[Array, "batch length heads head_size"],
    values: Float[Array, "batch length heads head_size"],
) -> Float[Array, "batch length heads head_size"]:
    """What each position reads: the mean of the values up to it, weighted by `attention_pattern`.

    A CPU computes it in blocks of queries, so that a block multiplies only by the keys up to its last position. There
    it has a reverse-mode derivative only.
    """
    if jax.default_backend() != "cpu":
        return jax.nn.dot_product_attention(queries, keys, values, is_causal=True)
    queries = queries * queries.shape[-1] ** -0.5
    queries, keys, values = (jnp.swapaxes(x, 1, 2) for x in (queries, keys, values))
    length = queries.shape[2]
    block = max(_FEWEST_QUERIES, -(-length // _MOST_BLOCKS))
    bounds = [(start, min(start + block, length)) for start in range(0, length, block)]
    blocks = [_attend(queries[:, :, start:stop], keys[:, :, :stop], values[:, :, :stop]) for start, stop in bounds]
    return jnp.swapaxes(jnp.concatenate(blocks, axis=2), 1, 2)


@jax.custom_vjp
def _attend(
    queries: Float[Array, "batch heads block head_size"],
    keys: Float[Array, "batch heads keys head_size"],
    values: Float[Array, "batch heads keys head_size"],
) -> Float[Array, "batch heads block head_size"]:
    """Causal attention of the last positions, whose queries are already divided by the square root of their size.

    With e = exp(q kᵀ - max), l = Σ e and o = e v / l, and d for a cotangent of the loss,

        dv = eᵀ (do / l),    ds = e ∘ ((do / l) vᵀ - Σ (do / l) ∘ o),    dq = ds k,    dk = dsᵀ q.

    So no array of all pairs of positions is divided by l, and the sum is over the heads' few units. XLA's derivative
    has a sum over all pairs instead, and products that contract the rows of both sides, which are slow on a CPU: here
    the small side of a product is the one that is transposed.

    References:
        Dao et al., "FlashAttention" (2022), arXiv:2205.14135, appendix B.2.
    """
    return _attend_forward(queries, keys, values)[0]


def _attend_forward(queries: Array, keys: Array, values: Array) -> tuple[Array, tuple[Array, ...]]:
    num_queries, num_keys = queries.shape[2], keys.shape[2]
    is_before = jnp.tri(num_queries, num_keys, num_keys - num_queries, dtype=bool)
    scores = jnp.where(is_before, queries @ _transposed(keys), -jnp.inf)
    exponentials = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    total = exponentials.sum(axis=-1, keepdims=True)
    mixed = exponentials @ values / total
    return mixed, (queries, keys, values, exponentials, total, mixed)


def _attend_backward(residuals: tuple[Array, ...], cotangent: Array) -> tuple[Array, Array, Array]:
    queries, keys, values, exponentials, total, mixed = residuals
    cotangent = cotangent / total
    d_values = jnp.swapaxes(_transposed(cotangent) @ exponentials, -1, -2)
    from_total = (cotangent * mixed).sum(axis=-1, keepdims=True)
    d_scores = exponentials * (cotangent @ _transposed(values) - from_total)
    d_keys = jnp.swapaxes(_transposed(queries) @ d_scores, -1, -2)
    return d_scores @ keys, d_keys, d_values


_attend.defvjp(_attend_forward, _attend_backward)


def _transposed(x: Float[Array, "batch heads rows columns"]) -> Float[Array, "batch heads columns rows"]:
    # Without the barrier XLA leaves the transposition to the product, which is slower.
    return jax.lax.optimization_barrier(jnp.swapaxes(x, -1, -2))


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
