"""What a transformer computes between its matrix products, layer norm and GELU, with derivatives written by hand.

Both recompute in the backward pass what is cheap. On a CPU the arrays that JAX's derivatives would save and read again
cost more than their arithmetic, because between two products an array of all tokens passes through the cache once for
each operation that cannot be joined with its neighbours.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

NORM_EPSILON = 1e-5


@jax.custom_vjp
def normalize(
    x: Float[Array, "rows width"], scale: Float[Array, "width"], shift: Float[Array, "width"]
) -> Float[Array, "rows width"]:
    """Layer norm: each row with mean 0 and variance 1, then scaled and shifted. It has a reverse-mode derivative only.

    With n = (x - mean) / deviation, y = n ∘ scale + shift, and g = dy ∘ scale for a cotangent dy,

        dx = (g - mean(g) - n ∘ mean(g ∘ n)) / deviation,    d_scale = Σ dy ∘ n,    d_shift = Σ dy,

    where the means are over a row and the sums over the rows.

    References:
        Ba, Kiros and Hinton, "Layer Normalization" (2016), arXiv:1607.06450.
    """
    return _normalize_forward(x, scale, shift)[0]


def _normalize_forward(x: Array, scale: Array, shift: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    centred = x - _mean(x)
    inverse_deviation = jax.lax.rsqrt(_mean(centred * centred) + NORM_EPSILON)
    normal = centred * inverse_deviation
    return normal * scale + shift, (normal, inverse_deviation, scale)


def _normalize_backward(residuals: tuple[Array, Array, Array], cotangent: Array) -> tuple[Array, Array, Array]:
    normal, inverse_deviation, scale = residuals
    scaled = cotangent * scale
    d_x = inverse_deviation * (scaled - _mean(scaled) - normal * _mean(scaled * normal))
    return d_x, (cotangent * normal).sum(axis=0), cotangent.sum(axis=0)


normalize.defvjp(_normalize_forward, _normalize_backward)


@jax.custom_vjp
def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """GELU, x Φ(x) with the normal distribution Φ(x) = (1 + erf(x / √2)) / 2. It has a reverse-mode derivative only.

    XLA's `erf` is faster on a CPU than the `erfc` of `jax.nn.gelu`.
    """
    return x * _normal_cdf(x)


def _gelu_forward(x: Array) -> tuple[Array, Array]:
    return x * _normal_cdf(x), x


def _gelu_backward(x: Array, cotangent: Array) -> tuple[Array]:
    density = (2 * jnp.pi) ** -0.5 * jnp.exp(-0.5 * x * x)
    return (cotangent * (_normal_cdf(x) + x * density),)


gelu.defvjp(_gelu_forward, _gelu_backward)


def _normal_cdf(x: Array) -> Array:
    return 0.5 * jax.lax.erf(x * 0.5**0.5) + 0.5


def _mean(x: Array) -> Array:
    return x.mean(axis=-1, keepdims=True)
