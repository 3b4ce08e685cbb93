"""Entropies over drawn words: their stated errors hold where another computation knows the truth, and are small."""

import numpy as np
import pytest

from simplexity.generative_processes import (
    DataGenerator,
    conditioned,
    entropy_rate,
    loss_optimum,
    mess3,
    myopic_entropies,
    noisy,
    product,
    quantum_rrxor,
    tom_quantum,
)
from simplexity.generative_processes._drawn_words import drawn_entropies
from simplexity.generative_processes._entropy_rate import stationary_walk
from simplexity.generative_processes._mixed_states import as_generator

SMALL = 1e-4
FACTORS = [mess3(0.15, 0.6), mess3(0.05, 0.85)]
# Processes that do not know that they are products, whose entropies are known from walks of their factors.
DISGUISED = {
    "with control variates": (lambda: conditioned([[factor] for factor in FACTORS], [[0] * 3, [0] * 3]), FACTORS),
    "without": (lambda: noisy(product([*FACTORS, tom_quantum(1.0, 3.0)]), 0.0), [*FACTORS, tom_quantum(1.0, 3.0)]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DISGUISED)
def test_stated_errors_hold(name):
    make, factors = DISGUISED[name]
    process = make()
    expected = np.array([entropy.value for entropy in myopic_entropies(product(factors), 25)])
    values, errors, total_error = drawn_entropies(process, process.initial_state[None], np.ones(1), 24)
    assert (np.abs(values - expected[1:]) <= errors + 1e-5).all()
    assert abs(values.sum() - expected[1:].sum()) <= total_error + 1e-4
    assert total_error / 24 < (SMALL if name == "with control variates" else 10 * SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("name", DISGUISED)
def test_the_stated_error_of_an_entropy_rate_holds_and_is_small(name):
    make, factors = DISGUISED[name]
    found, expected = entropy_rate(make()), entropy_rate(product(factors))
    assert abs(found.value - expected.value) <= found.error + expected.error
    assert 0 < found.error < (SMALL if name == "with control variates" else 10 * SMALL)
    assert expected.error < SMALL


@pytest.mark.slow
def test_drawn_words_replace_a_walk_that_knows_less():
    process = quantum_rrxor(0.7, 1.1)
    walked = stationary_walk(
        as_generator(process.transition_matrices, process.normalizer, process.initial_state)[0],
        process.initial_state,
        4_000_000,
    ).rate
    rate = entropy_rate(process)
    assert rate.error < SMALL < walked.error
    assert abs(rate.value - walked.value) <= rate.error + walked.error


@pytest.mark.slow
def test_control_variates_start_from_many_states():
    process = DISGUISED["with control variates"][0]()
    expected = np.array([entropy.value for entropy in myopic_entropies(product(FACTORS), 12)])
    states, weights = process.initial_state[None], np.ones(1)
    for _ in range(3):
        probabilities = weights[:, None] * process.token_probabilities(states)
        rows, tokens = np.nonzero(probabilities > 0)
        states, weights = process.successors(states[rows], tokens), probabilities[rows, tokens]
    values, errors, total_error = drawn_entropies(process, states, weights, 8)
    assert (np.abs(values - expected[4:]) <= errors + 1e-6).all()
    assert abs(values.sum() - expected[4:].sum()) <= total_error + 1e-5
    assert total_error / 8 < SMALL


@pytest.mark.slow
def test_a_ghmm_of_many_states_knows_its_error():
    """A walk that merges vectors in eight dimensions is off by more than it can tell."""
    factors = [mess3(0.15, 0.6), tom_quantum(1.0, 3.0)]
    process, truth = noisy(product(factors), 0.0).as_matrices(), product(factors)
    assert process.num_states == 9
    found, expected = (loss_optimum(DataGenerator(made, None, None), 64) for made in (process, truth))
    assert found.error_nats < SMALL
    assert abs(found.nats - expected.nats) <= found.error_nats + expected.error_nats
    assert (np.diff(found.per_position) <= 1e-12).all()
    rate, expected_rate = entropy_rate(process), entropy_rate(truth)
    assert abs(rate.value - expected_rate.value) <= rate.error + expected_rate.error
