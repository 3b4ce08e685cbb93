"""Causal attention with several heads, and rotary positions."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ._linear import Deviation, Linear, normal
from ._predictive_model import ActivationRecorder

# The queries of a block on a CPU, unless there would be too many blocks, which are compiled one by one.
_FEWEST_QUERIES = 128
_MOST_BLOCKS = 8
# Exponentials of scores up to this size, sums of them and their products with values are far from float32's limits.
_LARGEST_SCORE = 40.0
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
        # The derivative of a split is one concatenation; that of three slices adds three arrays of the whole.
        parts = jnp.split(self.queries_keys_values(x), 3, axis=-1)
        queries, keys, values = (
            recorder.record(f"{name}/{part}", heads.reshape(*x.shape[:2], self.num_heads, -1))
            for part, heads in zip(("queries", "keys", "values"), parts, strict=True)
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
    return jnp.swapaxes(_attend(*(jnp.swapaxes(x, 1, 2) for x in (queries, keys, values))), 1, 2)


@jax.custom_vjp
def _attend(
    queries: Float[Array, "batch heads length head_size"],
    keys: Float[Array, "batch heads length head_size"],
    values: Float[Array, "batch heads length head_size"],
) -> Float[Array, "batch heads length head_size"]:
    """Causal attention with queries that are already divided by the square root of their size.

    With the pattern p = exp(q kᵀ - m) for m = log Σ exp(q kᵀ), the result o = p v and its cotangent do,

        dv = pᵀ do,    ds = p ∘ (do vᵀ - Σ do ∘ o),    dq = ds k,    dk = dsᵀ q.

    The pattern has a number for every pair of positions: it is computed again from m, because writing and reading it
    takes longer. XLA's own derivative keeps it, sums over all pairs, and contracts the rows of both sides of a product,
    which is slow on a CPU: here the small side of a product is the one that is transposed.

    References:
        Dao et al., "FlashAttention" (2022), arXiv:2205.14135, appendix B.
    """
    return _attend_forward(queries, keys, values)[0]


def _attend_forward(queries: Array, keys: Array, values: Array) -> tuple[Array, tuple[Array, ...]]:
    def of_heads(queries: Array, keys: Array, values: Array) -> tuple[Array, Array]:
        mixed, log_totals = [], []
        blocks = _blocks(queries.shape[-2])
        # No score is larger than the product of the two norms (Cauchy and Schwarz). Where that is small, a pass over
        # all pairs of positions is saved. Otherwise, also for NaN, the largest score is subtracted; and always where
        # there is one block, because there the pass takes no longer than the condition. A later token may change which
        # of the two it is, and with it the last bits of earlier positions.
        is_small = len(blocks) > 1 and _largest_norm(queries) * _largest_norm(keys) <= _LARGEST_SCORE
        for start, stop in blocks:
            scores = _scores(queries, keys, start, stop)
            largest = jax.lax.cond(is_small, _zero_for_each_row, _largest_of_each_row, scores)
            exponentials = jnp.exp(_masked(scores) - largest)
            total = exponentials.sum(axis=-1, keepdims=True)
            mixed.append(exponentials @ values[..., :stop, :] / total)
            log_totals.append(largest + jnp.log(total))
        return jnp.concatenate(mixed, axis=-2), jnp.concatenate(log_totals, axis=-2)

    mixed, log_total = _over_heads(of_heads, queries, keys, values)
    return mixed, (queries, keys, values, log_total, mixed)


def _attend_backward(residuals: tuple[Array, ...], cotangent: Array) -> tuple[Array, Array, Array]:
    def of_heads(
        queries: Array, keys: Array, values: Array, log_total: Array, mixed: Array, cotangent: Array
    ) -> tuple[Array, Array, Array]:
        from_total = (cotangent * mixed).sum(axis=-1, keepdims=True)
        d_queries = []
        d_keys = d_values = jnp.zeros_like(jnp.swapaxes(keys, -1, -2))
        for start, stop in _blocks(queries.shape[-2]):
            of_block = (..., slice(start, stop), slice(None))
            # The barrier keeps XLA from computing the pattern for each of its two readers.
            scores = _masked(_scores(queries, keys, start, stop))
            pattern = jax.lax.optimization_barrier(jnp.exp(scores - log_total[of_block]))
            d_pattern = cotangent[of_block] @ _transposed(values[..., :stop, :])
            d_scores = pattern * (d_pattern - from_total[of_block])
            d_queries.append(d_scores @ keys[..., :stop, :])
            d_keys = d_keys.at[..., :stop].add(_transposed(queries[of_block]) @ d_scores)
            d_values = d_values.at[..., :stop].add(_transposed(cotangent[of_block]) @ pattern)
        return jnp.concatenate(d_queries, axis=-2), jnp.swapaxes(d_keys, -1, -2), jnp.swapaxes(d_values, -1, -2)

    return _over_heads(of_heads, *residuals, cotangent)


_attend.defvjp(_attend_forward, _attend_backward)


def _scores(queries: Array, keys: Array, start: int, stop: int) -> Array:
    """The scores of a block's queries with all keys up to its last position."""
    return queries[..., start:stop, :] @ _transposed(keys[..., :stop, :])


def _masked(scores: Float[Array, "*heads queries keys"]) -> Float[Array, "*heads queries keys"]:
    """The scores of queries that end with the last key; minus infinity after each query's own position."""
    num_queries, num_keys = scores.shape[-2:]
    return jnp.where(jnp.tri(num_queries, num_keys, num_keys - num_queries, dtype=bool), scores, -jnp.inf)


def _largest_of_each_row(scores: Float[Array, "*heads queries keys"]) -> Float[Array, "*heads queries 1"]:
    return _masked(scores).max(axis=-1, keepdims=True)


def _zero_for_each_row(scores: Float[Array, "*heads queries keys"]) -> Float[Array, "*heads queries 1"]:
    return jnp.zeros_like(scores[..., :1])


def _largest_norm(vectors: Float[Array, "*heads length head_size"]) -> Float[Array, ""]:
    return jnp.sqrt((vectors * vectors).sum(axis=-1).max())


def _blocks(length: int) -> list[tuple[int, int]]:
    """The first query of each block, and the one after its last."""
    block = max(_FEWEST_QUERIES, -(-length // _MOST_BLOCKS))
    return [(start, min(start + block, length)) for start in range(0, length, block)]


def _over_heads(function: Callable[..., PyTree], *arguments: Float[Array, "batch heads length _"]) -> PyTree:
    """Calls `function` for all heads of all sequences at once, or for one after the other if they have several blocks.

    The scores of a block for all heads together would not stay in the core's cache from one operation to the next.
    """
    batch, heads, length, _ = arguments[0].shape
    if len(_blocks(length)) == 1:
        return function(*arguments)
    results = jax.lax.map(
        lambda of_head: function(*of_head), tuple(x.reshape(batch * heads, length, -1) for x in arguments)
    )
    return jax.tree.map(lambda x: x.reshape(batch, heads, *x.shape[1:]), results)


def _transposed(x: Float[Array, "*heads rows columns"]) -> Float[Array, "*heads columns rows"]:
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
