"""An affine map of the last axis, as one matrix product over all the others."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Deviation = float | Float[Array, ""]
"""A standard deviation: a number, or an array where it is an argument of a compiled program."""

Initializer = Callable[[PRNGKeyArray, tuple[int, ...]], Float[Array, "..."]]


def rows(x: Float[Array, "*leading width"]) -> Float[Array, "rows width"]:
    """All vectors of the last axis, as the rows of a matrix.

    The gradient of a weight contracts the rows. With one axis of rows XLA multiplies in place; with several it first
    copies both operands into a transposed layout, which on a CPU doubles the time.
    """
    return x.reshape(-1, x.shape[-1])


def multiply(
    x: Float[Array, "*leading in_width"], weight: Float[Array, "in_width out_width"]
) -> Float[Array, "*leading out_width"]:
    """The product of every vector of the last axis with `weight`."""
    return (rows(x) @ weight).reshape(*x.shape[:-1], weight.shape[-1])


def uniform(width: int) -> Initializer:
    """Draws from the uniform distribution on ±1/√width.

    References:
        LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998), section 4.6, up to the factor √3; the default of
        `torch.nn.Linear`, `torch.nn.GRU` and `eqx.nn.GRUCell`.
    """
    bound = width**-0.5
    return lambda key, shape: jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def normal(deviation: Deviation) -> Initializer:
    """Draws from the normal distribution with mean zero and the given standard deviation."""
    return lambda key, shape: deviation * jax.random.normal(key, shape)


class Linear(eqx.Module):
    """y = x W + b."""

    weight: Float[Array, "in_width out_width"]
    bias: Float[Array, "out_width"]

    def __init__(self, in_width: int, out_width: int, initializer: Initializer, *, key: PRNGKeyArray):
        """Draws the weight from `initializer`; the bias starts at zero."""
        self.weight = initializer(key, (in_width, out_width))
        self.bias = jnp.zeros(out_width)

    def __call__(self, x: Float[Array, "*leading in_width"]) -> Float[Array, "*leading out_width"]:
        """Maps every vector of the last axis."""
        return multiply(x, self.weight) + self.bias


class Head(eqx.Module):
    """The logits x Wᵀ + b.

    The weight has one row per token: its gradient then has few rows and many columns, and XLA's product of that form is
    several times as fast on a CPU as its transpose.
    """

    weight: Float[Array, "vocab width"]
    bias: Float[Array, "vocab"]

    def __init__(self, width: int, vocab_size: int, initializer: Initializer, *, key: PRNGKeyArray):
        """Draws the weight from `initializer`; the bias starts at zero."""
        self.weight = initializer(key, (vocab_size, width))
        self.bias = jnp.zeros(vocab_size)

    def __call__(self, x: Float[Array, "*leading width"]) -> Float[Array, "*leading vocab"]:
        """Maps every vector of the last axis."""
        return multiply(x, self.weight.T) + self.bias


class TiedHead(eqx.Module):
    """The logits x Eᵀ + b, where E is the model's embedding."""

    bias: Float[Array, "vocab"]

    def __init__(self, vocab_size: int):
        """The bias starts at zero."""
        self.bias = jnp.zeros(vocab_size)

    def __call__(
        self, x: Float[Array, "*leading width"], embedding: Float[Array, "vocab width"]
    ) -> Float[Array, "*leading vocab"]:
        """Maps every vector of the last axis."""
        return multiply(x, embedding.T) + self.bias
