"""Products: what is theirs alone; `test_composites.py` compares them with brute force."""

import numpy as np
import pytest

from simplexity.generative_processes import (
    DataGenerator,
    coin,
    entropy_rate,
    is_ergodic,
    loss_optimum,
    matching_parens,
    mess3,
    myopic_entropies,
    no_consecutive_ones,
    product,
    tom_quantum,
    zero_one_random,
)
from simplexity.generative_processes._product import for_each_distinct


def test_a_product_of_432_tokens():
    process = product([mess3(0.15, 0.6)] * 3 + [tom_quantum(1.0, 3.0)] * 2)
    assert (process.vocab_size, process.num_states) == (432, 15)
    assert DataGenerator(process, "auto", None).vocab_size == 433
    entropies = myopic_entropies(process, 9)
    # From the factors' words by brute force, in an independent program.
    expected = [6.068426, 5.979514, 5.936424, 5.909728, 5.892388, 5.880320, 5.871917, 5.865888, 5.861580]
    np.testing.assert_allclose([entropy.value for entropy in entropies], expected, atol=1e-6)
    assert max(entropy.error for entropy in entropies) < 1e-9


def test_equal_factors_are_computed_once():
    asked = []
    factors = [mess3(0.15, 0.6), tom_quantum(1.0, 3.0), mess3(0.15, 0.6), mess3(0.05, 0.85), mess3(0.15, 0.6)]
    results = for_each_distinct(lambda factor: asked.append(factor) or len(asked), factors)
    assert results == [1, 2, 1, 3, 1]


@pytest.mark.slow
def test_rates_and_errors_add_up():
    factors = [mess3(0.15, 0.6), tom_quantum(1.0, 3.0)]
    rate, rates = entropy_rate(product(factors)), [entropy_rate(factor) for factor in factors]
    assert rate.value == pytest.approx(sum(own.value for own in rates))
    assert rate.error == pytest.approx(sum(own.error for own in rates))


def test_the_first_factor_is_the_most_significant():
    process = product([coin(1.0), product([coin(0.0), mess3(0.15, 0.6)])])
    probabilities = process.token_probabilities(process.initial_state)
    np.testing.assert_allclose(probabilities.reshape(2, 2, 3)[0, 1], 1 / 3)
    # Factors of a factor are factors of the whole.
    assert [len(belief) for belief in process.factor_beliefs(process.initial_state)] == [1, 1, 3]


def test_a_period_that_two_factors_share_makes_a_product_non_ergodic():
    assert not is_ergodic(product([zero_one_random(0.5), zero_one_random(0.3)]))
    assert is_ergodic(product([zero_one_random(0.5), matching_parens([1.0, 0.5])]))  # periods 3 and 2
    assert not is_ergodic(product([mess3(0.0, 0.85), coin(0.5)]))


def test_the_optimum_of_rows_that_continue_each_other():
    factors = [no_consecutive_ones(0.5), mess3(0.15, 0.6)]
    together = loss_optimum(DataGenerator(product(factors), None, None), 6, carry_state=True)
    alone = [loss_optimum(DataGenerator(factor, None, None), 6, carry_state=True) for factor in factors]
    assert together.nats == pytest.approx(sum(optimum.nats for optimum in alone))


def test_a_product_of_nothing():
    with pytest.raises(ValueError, match=r"^`factors` must name at least one process, got none$"):
        product([])
