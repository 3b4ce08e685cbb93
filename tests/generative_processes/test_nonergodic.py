"""Mixtures: a word's probability is the weighted mean of its components'."""

import jax
import numpy as np
import pytest

from simplexity.generative_processes import GHMM, HMM, coin, even_ones, mess3, mr_name, nonergodic, product, tom_quantum
from tests import oracles


def test_words_mix():
    parts, weights = [coin(0.2), even_ones(0.5)], [0.25, 0.75]
    mixture = nonergodic(parts, weights, [[0, 2], [1, 2]])
    assert isinstance(mixture, HMM)
    assert (mixture.vocab_size, mixture.num_states) == (3, 3)

    def probability(process, word):
        return oracles.word_probability(process.transition_matrices, process.initial_state, process.normalizer, word)

    assert probability(mixture, [2, 2]) == pytest.approx(
        0.25 * probability(parts[0], [1, 1]) + 0.75 * probability(parts[1], [1, 1])
    )
    assert probability(mixture, [0, 2]) == pytest.approx(0.25 * probability(parts[0], [0, 1]))
    assert probability(mixture, [0, 1]) == 0


def test_each_sequence_keeps_its_component():
    mixture = nonergodic([mr_name(0.4, 0.25)] * 2, [0.3, 0.7], [[0, 1, 2, 3], [0, 1, 2, 4]])

    @jax.jit
    def draw(key):
        initial_key, key = jax.random.split(key)
        return mixture.sample(mixture.initial_sampling_state(2000, key=initial_key), 60, key=key)[1]

    tokens = np.asarray(draw(jax.random.key(0)))
    has_first, has_second = (tokens == 3).any(axis=1), (tokens == 4).any(axis=1)
    assert not (has_first & has_second).any()
    # Four standard deviations of a binomial share.
    assert has_first.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 2000))


def test_a_ghmm_component_makes_a_ghmm():
    quantum = tom_quantum(1.0, 2.0)
    mixture = nonergodic([mess3(0.05, 0.85), quantum], [0.5, 0.5], [[0, 1, 2], [0, 1, 2, 3]])
    assert isinstance(mixture, GHMM)
    np.testing.assert_array_equal(mixture.normalizer, [1, 1, 1, 1, 0, 0])
    np.testing.assert_allclose(mixture.stationary_state, [1 / 6, 1 / 6, 1 / 6, 0.5, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("weights", "vocab_maps", "message"),
    [
        ([1.0], [[0, 1], [0, 1]], r"^`weights` must have 2 entries, one per component, got 1$"),
        ([0.5, 0.4], [[0, 1], [0, 1]], r"^`weights` must be positive and sum to 1, got \[0\.5, 0\.4\], .* 0\.9$"),
        ([1.5, -0.5], [[0, 1], [0, 1]], r"^`weights` must be positive"),
        ([0.5, 0.5], [[0, 1]], r"^`vocab_maps` must have 2 entries, one per component, got 1$"),
        ([0.5, 0.5], [[0, 1], [0]], r"^`vocab_maps\[1\]` must have 2 entries, one per token .* got \[0\]$"),
        ([0.5, 0.5], [[0, 0], [0, 1]], r"^`vocab_maps\[0\]` must have distinct tokens from 0 on, got \[0, 0\]$"),
        ([0.5, 0.5], [[0, 1], [0, 3]], r"^`vocab_maps` must use every token from 0 to 3, but none maps to 2$"),
    ],
)
def test_mixtures_that_do_not_fit(weights, vocab_maps, message):
    with pytest.raises(ValueError, match=message):
        nonergodic([coin(0.5), coin(0.2)], weights, vocab_maps)


def test_a_mixture_of_nothing():
    with pytest.raises(ValueError, match="at least one process"):
        nonergodic([], [], [])


@pytest.mark.parametrize(
    ("word", "maps"),
    [
        ("shared", [[0, 1], [0, 1, 2, 3]]),
        ("disjoint", [[0, 1], [2, 3, 4, 5]]),
        ("prefix", [[0, 3], [0, 1, 2, 4]]),
    ],
)
def test_vocab_maps_by_one_word(word, maps):
    parts = [coin(0.2), mr_name(0.4, 0.25)]
    by_word, by_maps = nonergodic(parts, [0.5, 0.5], word), nonergodic(parts, [0.5, 0.5], maps)
    np.testing.assert_array_equal(by_word.transition_matrices, by_maps.transition_matrices)


def test_an_unknown_word():
    with pytest.raises(ValueError, match=r"^`vocab_maps` must be lists, or one of shared, .* got 'joint'$"):
        nonergodic([coin(0.2)], [1.0], "joint")


def test_composites_as_components():
    small = product([coin(0.2), even_ones(0.5)])
    mixture = nonergodic([small, coin(0.3)], [0.5, 0.5], "shared")
    assert isinstance(mixture, HMM)
    assert (mixture.vocab_size, mixture.num_states) == (4, 3)
