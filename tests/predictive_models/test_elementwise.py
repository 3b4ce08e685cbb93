"""Layer norm, GELU and the product by a weight: the derivatives by hand against those that JAX finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.predictive_models._elementwise import gelu, normalize
from simplexity.predictive_models._linear import multiply


def _standardized(x, scale, shift):
    return jax.nn.standardize(x, epsilon=1e-5) * scale + shift


@pytest.mark.parametrize(
    ("function", "plain", "shapes"),
    [
        (gelu, lambda x: jax.nn.gelu(x, approximate=False), [(5, 7)]),
        (normalize, _standardized, [(5, 7), (7,), (7,)]),
        (multiply, jnp.matmul, [(2, 5, 3), (3, 7)]),
        (multiply, jnp.matmul, [(2, 5, 7), (7, 3)]),
        (multiply, jnp.matmul, [(2, 5, 70), (70, 75)]),
    ],
    ids=["gelu", "layer norm", "more columns", "fewer columns", "columns that do not fill a vector"],
)
def test_value_and_gradient_are_those_of_the_plain_formula(function, plain, shapes):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    arguments = [3 * jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]

    def value_and_gradient(function):
        def total(*arguments):
            value = function(*arguments)
            return jnp.vdot(value, jnp.cos(jnp.arange(value.size))), value

        return jax.jit(jax.grad(total, argnums=tuple(range(len(shapes))), has_aux=True))(*arguments)

    found, expected = value_and_gradient(function), value_and_gradient(plain)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)
