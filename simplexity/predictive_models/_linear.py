"""An affine map of the last axis, as one matrix product over all the others."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Deviation = float | Float[Array, ""]
"""A standard deviation: a number, or an array where it is an argument of a compiled program."""

# The numbers in a vector of AVX-512, and from how many columns on it pays to fill the last vector.
_VECTOR = 16
_FEWEST_COLUMNS = 64

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
    """The product of every vector of the last axis with `weight`. On a CPU it has a reverse-mode derivative only."""
    product = _product if jax.default_backend() == "cpu" else jnp.matmul
    return product(rows(x), weight).reshape(*x.shape[:-1], weight.shape[-1])


@jax.custom_vjp
def _product(x: Float[Array, "rows in_width"], weight: Float[Array, "in_width out_width"]) -> Array:
    """The product x W, whose derivative by W is itself a product with few rows and many columns.

    XLA's product of that form is nearly twice as fast on a CPU as its transpose. With 2,048 rows: 64 by 256 at 111
    GFLOP/s, 256 by 64 at 60, and at 104 as the transpose of 64 by 256.
    """
    return _in_whole_vectors(x, weight)


def _product_forward(x: Array, weight: Array) -> tuple[Array, tuple[Array, Array]]:
    return _in_whole_vectors(x, weight), (x, weight)


def _product_backward(residuals: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    x, weight = residuals
    if x.shape[1] > cotangent.shape[1]:
        # Without the barrier XLA swaps the sides back.
        d_weight = jax.lax.optimization_barrier(cotangent.T @ x).T
    else:
        d_weight = x.T @ cotangent
    return _in_whole_vectors(cotangent, weight.T), d_weight


_product.defvjp(_product_forward, _product_backward)


def _in_whole_vectors(x: Float[Array, "rows in_width"], weight: Float[Array, "in_width out_width"]) -> Array:
    """The product x W, with columns of zeros added to W so that they fill the processor's vectors.

    With 288 rows and 480 inputs, XLA needs 280 µs for 120 columns and 222 µs for 128.
    """
    num_columns = weight.shape[1]
    missing = -num_columns % _VECTOR
    if num_columns < _FEWEST_COLUMNS or not missing:
        return x @ weight
    return (x @ jnp.pad(weight, ((0, 0), (0, missing))))[:, :num_columns]


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
    """The logits x Wᵀ + b: the weight has one row per token."""

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
