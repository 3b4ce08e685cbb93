"""The gradient of a batch in parts, one after the other, so that what the backward pass reads again is still cached."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

# Measured with GRUs of 64 units on cores with 1.25 MiB of cache each: a step takes 0.86 to 0.93 times as long. Half the
# size is as fast, twice the size is not; much smaller parts make short operations of long ones.
_MOST_TOKENS = 2048
_FEWEST_TOKENS = 512


def num_micro_batches(num_rows: int, tokens_per_row: int) -> int:
    """Into how many equal parts a CPU's core should divide its rows of the batch; 1 if no number is good."""
    num_tokens = num_rows * tokens_per_row
    divisors = (number for number in range(1, num_rows + 1) if num_rows % number == 0)
    return next((number for number in divisors if _FEWEST_TOKENS <= num_tokens // number <= _MOST_TOKENS), 1)


def mean_over_micro_batches(function: Callable[..., PyTree], number: int) -> Callable[..., PyTree]:
    """`function(model, tokens)`, a mean over the rows of `tokens`, as the mean over that many equal parts of them."""
    if number == 1:
        return function

    def over_parts(model: Any, tokens: Int[Array, "rows length"]) -> PyTree:
        def add(sums: PyTree, part: Int[Array, "rows_of_part length"]) -> tuple[PyTree, None]:
            return jax.tree.map(jnp.add, sums, function(model, part)), None

        parts = tokens.reshape(number, -1, tokens.shape[-1])
        shapes = eqx.filter_eval_shape(function, model, parts[0])
        zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        sums, _ = jax.lax.scan(add, zeros, parts)
        return jax.tree.map(lambda total: total / number, sums)

    return over_parts
