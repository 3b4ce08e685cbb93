"""Processes of the user's own as arguments of compiled programs."""

import equinox as eqx
import jax
import numpy as np
import pytest

from simplexity.generative_processes import DataGenerator, GenerativeProcess, Product, coin, mess3
from simplexity.running._kept_programs import structure_of
from simplexity.running._process_arguments import as_argument


class AsksForValues(Product):
    """Draws with a Python condition on a number of its table."""

    def sample(self, sampling_state, length, *, key):
        assert self.initial_state[0] > 0
        return super().sample(sampling_state, length, key=key)


def drawn(generator: DataGenerator):
    @eqx.filter_jit
    def draw(generator, key):
        _, tokens = generator.sample(generator.initial_sampling_state(4, key=key), 6, key=key)
        return tokens, jax.vmap(generator.next_token_probabilities)(tokens)

    return [np.asarray(each) for each in draw(as_argument(generator), jax.random.key(0))]


@pytest.mark.parametrize("kind", [Product, AsksForValues])
def test_only_a_process_that_asks_for_values_is_a_constant(kind: type[GenerativeProcess]):
    one, other = (DataGenerator(kind([mess3(x, 0.85), coin(0.3)]), "auto", None) for x in (0.05, 0.06))
    is_shared = structure_of(as_argument(one)) == structure_of(as_argument(other))
    assert is_shared == (kind is Product)
    plain = DataGenerator(Product([mess3(0.05, 0.85), coin(0.3)]), "auto", None)
    for array, expected in zip(drawn(one), drawn(plain), strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-6)
