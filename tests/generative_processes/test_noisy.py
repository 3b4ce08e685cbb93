"""Noise and synonyms: what is theirs alone; `test_composites.py` compares them with brute force."""

import math

import numpy as np
import pytest

from simplexity.generative_processes import (
    HMM,
    Product,
    coin,
    conditioned,
    even_ones,
    inflated,
    mess3,
    myopic_entropies,
    noisy,
    product,
    tom_quantum,
)


def test_noise_on_one_process_stays_a_process_of_its_kind():
    process = noisy(mess3(0.15, 0.6), 0.25)
    assert isinstance(process, HMM)
    expected = 0.75 * mess3(0.15, 0.6).transition_matrices + 0.25 / 3 * mess3(0.15, 0.6).transition_matrices.sum(axis=0)
    np.testing.assert_allclose(process.transition_matrices, expected)


def test_noise_on_each_factor_keeps_them_independent():
    factors = [even_ones(0.4), tom_quantum(1.0, 3.0)]
    process = noisy(product(factors), 0.25, level="factor")
    assert isinstance(process, Product)
    expected = sum(np.array([h.value for h in myopic_entropies(noisy(factor, 0.25), 4)]) for factor in factors)
    np.testing.assert_allclose([h.value for h in myopic_entropies(process, 4)], expected)


def test_noise_is_nothing_or_everything():
    base = product([mess3(0.15, 0.6), even_ones(0.4)])
    for epsilon, expected in [(0.0, myopic_entropies(base, 4)[-1].value), (1.0, math.log(6))]:
        found = myopic_entropies(noisy(base, epsilon), 4)[-1]
        assert abs(found.value - expected) <= found.error + 1e-9


def test_joint_noise_on_432_tokens_needs_no_matrices():
    process = noisy(product([mess3(0.15, 0.6)] * 3 + [tom_quantum(1.0, 3.0)] * 2), 0.2)
    assert (process.vocab_size, process.num_states, process.as_matrices()) == (432, 243, None)
    states = process.successors(np.tile(process.initial_state, (2, 1)), np.array([7, 431]))
    probabilities = process.token_probabilities(states)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert probabilities.min() >= 0.2 / 432
    assert [belief.shape for belief in process.factor_beliefs(states)] == [(2, 3)] * 5


def test_synonyms_cost_exactly_their_entropy():
    process, more = product([mess3(0.15, 0.6), coin(0.3)]), 5
    for found, without in zip(myopic_entropies(inflated(process, more), 5), myopic_entropies(process, 5), strict=True):
        assert found.value == pytest.approx(without.value + math.log(more), abs=1e-12)
        assert found.error == without.error


def test_what_does_not_fit():
    with pytest.raises(ValueError, match=r"^`epsilon` must lie in \[0, 1\], got 1\.5$"):
        noisy(coin(0.5), 1.5)
    with pytest.raises(ValueError, match=r"^`num_synonyms` must be at least 1, got 0$"):
        inflated(coin(0.5), 0)
    experts = conditioned([[coin(0.5)], [coin(0.2)]], [[0, 0], [0, 0]])
    with pytest.raises(ValueError, match=r"^`process` must be .* got a CoupledFactors with 4 tokens$"):
        noisy(experts, 0.1)
