"""Invariants of every process, against enumeration."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.generative_processes import (
    HMM,
    chain,
    coin,
    mess3,
    no_consecutive_ones,
    noisy,
    nonergodic,
    post_quantum,
    product,
)
from tests import oracles


def test_normalizer_and_stationary_state_are_fixed(process):
    summed = process.transition_matrices.sum(axis=0)
    np.testing.assert_allclose(summed @ process.normalizer, process.normalizer, atol=1e-12)
    np.testing.assert_allclose(process.stationary_state @ summed, process.stationary_state, atol=1e-12)
    for state in (process.initial_state, process.stationary_state):
        assert state @ process.normalizer == pytest.approx(1, abs=1e-12)
    if isinstance(process, HMM):
        assert (process.transition_matrices >= 0).all()
        np.testing.assert_array_equal(process.normalizer, 1)


def test_words_have_probabilities(process):
    tables = process.transition_matrices, process.initial_state, process.normalizer
    length = {2: 8, 3: 6, 4: 5}.get(process.vocab_size, 3)
    probabilities = oracles.word_probabilities(*tables, length)
    assert probabilities.min() > -1e-12
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)


def test_filter_and_word_probability_equal_the_sum_over_paths(process, drawn):
    for word, beliefs, probability in zip(drawn.words, drawn.beliefs, drawn.probabilities, strict=False):
        weights = oracles.path_weights(process.transition_matrices, process.initial_state, word)
        mass = weights @ process.normalizer
        assert len(beliefs) == len(word) + 1
        np.testing.assert_allclose(beliefs[0], process.initial_state, atol=1e-6)
        np.testing.assert_allclose(beliefs[-1], weights / mass, atol=1e-5)
        assert probability == pytest.approx(mass, rel=1e-4)


def test_samples_have_the_word_probabilities(process, drawn):
    length = drawn.words.shape[1]
    counts = np.zeros((process.vocab_size,) * length)
    np.add.at(counts, tuple(drawn.words.T), 1)
    probabilities = oracles.word_probabilities(
        process.transition_matrices, process.initial_state, process.normalizer, length
    )
    assert counts[probabilities < 1e-9].sum() == 0
    statistic, freedom = oracles.chi_square(counts, probabilities)
    # Five standard deviations above the mean of the chi-square distribution.
    assert statistic < freedom + 5 * np.sqrt(2 * freedom) + 1e-6


def test_log_probability_of_a_long_word_is_right(process, drawn):
    tables = process.transition_matrices, process.initial_state, process.normalizer
    expected = oracles.log_word_probability(*tables, drawn.long_word)
    np.testing.assert_allclose(drawn.log_probability, expected, rtol=2e-6, atol=1e-6)


def test_sampling_goes_on_from_the_state_returned():
    process = no_consecutive_ones(1.0)  # 0, 1, 0, 1, ... once the phase is drawn

    @jax.jit
    def draw(key):
        first_key, second_key = jax.random.split(key)
        state, first = process.sample(process.initial_sampling_state(64, key=key), 5, key=first_key)
        return jnp.concatenate([first, process.sample(state, 5, key=second_key)[1]], axis=1)

    tokens = np.asarray(draw(jax.random.key(0)))
    np.testing.assert_array_equal(tokens[:, 1:], 1 - tokens[:, :-1])
    assert 0 < tokens[:, 0].mean() < 1


FACTORS = [mess3(0.05, 0.85), no_consecutive_ones(0.5)]
KINDS = {
    "hmm": mess3(0.05, 0.85),
    "ghmm": post_quantum(1.0, 0.5),
    "product": product(FACTORS),
    "noise": noisy(product(FACTORS), 0.1),
    "coupled": chain([[coin(0.3)], [coin(0.2), coin(0.7)]], [[0, 1]]),
    "mixture": nonergodic(FACTORS, [0.5, 0.5], "shared"),
}


@pytest.mark.parametrize("process", KINDS.values(), ids=KINDS)
def test_a_process_may_be_closed_over_or_passed(process):
    def draw(passed, key):
        _, tokens = passed.sample(passed.initial_sampling_state(4, key=key), 6, key=key)
        return tokens, jax.vmap(passed.filter)(tokens)

    key = jax.random.key(0)
    passed_tokens, passed_beliefs = eqx.filter_jit(draw)(process, key)
    closed_tokens, closed_beliefs = jax.jit(lambda key: draw(process, key))(key)
    np.testing.assert_array_equal(passed_tokens, closed_tokens)
    np.testing.assert_allclose(passed_beliefs, closed_beliefs, rtol=1e-5, atol=1e-5)


def test_an_impossible_word_has_no_probability():
    process = no_consecutive_ones(0.5)

    @jax.jit
    def compute(word):
        return process.log_word_probability(word), process.word_probability(word)

    log_probability, probability = compute(np.array([0, 1, 1, 0]))
    assert (log_probability, probability) == (-np.inf, 0)
    assert np.isnan(process.update(np.array([0.0, 1.0]), 1)).all()


def test_filter_from_a_given_state():
    process = mess3(0.05, 0.85)
    state = np.array([1.0, 0.0, 0.0])
    states = process.filter(jnp.array([2, 1]), state)
    np.testing.assert_allclose(states[0], state)
    np.testing.assert_allclose(states[2], process.update(process.update(state, 2), 1), rtol=1e-6)
