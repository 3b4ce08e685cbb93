"""Factors conditioned on each other, against the product of experts by brute force; lists that do not fit."""

import itertools

import jax
import numpy as np
import pytest

from simplexity.generative_processes import (
    DataGenerator,
    chain,
    coin,
    conditioned,
    entropy_rate,
    even_ones,
    is_ergodic,
    loss_optimum,
    mess3,
    myopic_entropies,
    product,
    tom_quantum,
)
from simplexity.generative_processes._filtered_entropy import filtered_entropies
from tests import oracles

# Three factors of different sizes and kinds; the second has one variant only.
VARIANTS = [[coin(0.3), coin(0.8)], [even_ones(0.4)], [tom_quantum(1.0, 3.0), tom_quantum(1.0, 1.5)]]
CONTROL_MAPS = [[0, 1, 1, 0, 0, 1, 0, 1], [0] * 8, [0, 1, 1, 0]]


@pytest.fixture(scope="module")
def process():
    return conditioned(VARIANTS, CONTROL_MAPS)


@pytest.fixture(scope="module")
def factors():
    tokens = list(itertools.product(range(2), range(2), range(4)))
    labels = [
        [CONTROL_MAPS[0][4 * second + third] * 2 + first for first, second, third in tokens],
        [second for _, second, _ in tokens],
        [CONTROL_MAPS[2][2 * first + second] * 4 + third for first, second, third in tokens],
    ]
    return [
        (
            np.concatenate([variant.transition_matrices for variant in own]),
            label,
            own[0].initial_state,
            own[0].normalizer,
        )
        for own, label in zip(VARIANTS, labels, strict=True)
    ]


def _word_probabilities(factors, length):
    def probability(word):
        return np.prod([oracles.product_of_experts(factors, word[:t])[0][word[t]] for t in range(length)])

    vocab_size = len(factors[0][1])
    return np.array([probability(word) for word in oracles.words(vocab_size, length)]).reshape((vocab_size,) * length)


def test_predictions_and_beliefs(process, factors):
    word = np.array([3, 14, 6, 9, 0])
    compiled = np.asarray(jax.jit(lambda word: jax.vmap(process.observation_probabilities)(process.filter(word)))(word))
    state = process.initial_state
    for length in range(len(word) + 1):
        expected, states = oracles.product_of_experts(factors, word[:length])
        np.testing.assert_allclose(process.token_probabilities(state), expected, atol=1e-12)
        np.testing.assert_allclose(compiled[length], expected, atol=1e-5)
        for belief, own in zip(process.factor_beliefs(state), states, strict=True):
            np.testing.assert_allclose(belief, own, atol=1e-12)
        np.testing.assert_allclose(process.joint_beliefs(state), np.kron(np.kron(*states[:2]), states[2]), atol=1e-12)
        if length < len(word):
            state = process.successors(state[None], word[length : length + 1])[0]


def test_samples_and_word_probabilities(process, factors):
    @jax.jit
    def draw(key):
        _, words = process.sample(process.initial_sampling_state(40_000, key=key), 2, key=key)
        return words, jax.vmap(process.word_probability)(words[:5])

    words, found = map(np.asarray, draw(jax.random.key(2)))
    probabilities = _word_probabilities(factors, 2)
    np.testing.assert_allclose(found, [probabilities[tuple(word)] for word in words[:5]], rtol=1e-4)
    counts = np.zeros((16, 16))
    np.add.at(counts, tuple(words.T), 1)
    statistic, freedom = oracles.chi_square(counts, probabilities)
    assert statistic < freedom + 5 * np.sqrt(2 * freedom)


@pytest.mark.slow
def test_entropies(process, factors):
    probabilities = _word_probabilities(factors, 3)
    blocks = [oracles.entropy(probabilities.sum(axis=tuple(range(t, 3)))) for t in range(4)]
    found = myopic_entropies(process, 6)
    np.testing.assert_allclose([entropy.value for entropy in found[:3]], np.diff(blocks), atol=1e-9)
    assert max(entropy.error for entropy in found[:3]) == 0
    rate = entropy_rate(process)
    assert 0 < rate.error < 0.02
    assert 0 < found[-1].value - rate.value < 0.05
    with pytest.raises(ValueError, match=r"^`carry_state` must be false"):
        loss_optimum(DataGenerator(process, None, None), 5, carry_state=True)
    assert not is_ergodic(process)


def test_one_variant_each_is_a_product():
    factors = [coin(0.3), mess3(0.15, 0.6)]
    alone = product(factors)
    coupled = conditioned([[factor] for factor in factors], [[0] * 3, [0] * 2])
    states = alone.initial_state[None]
    np.testing.assert_allclose(coupled.token_probabilities(states), alone.token_probabilities(states))
    np.testing.assert_allclose(
        coupled.successors(states, np.array([4])), alone.successors(states, np.array([4])), atol=1e-12
    )


@pytest.mark.slow
def test_drawn_words_agree_with_the_exact_chain():
    process = chain([[mess3(0.15, 0.6)], [mess3(0.15, 0.6), mess3(0.05, 0.85)]], [[1, 0, 0]])
    exact = myopic_entropies(process, 7)
    drawn = filtered_entropies(process, process.initial_state, 7)
    assert drawn.errors[-1] > 0
    for estimate, value, error in zip(exact, drawn.values, drawn.errors, strict=True):
        assert estimate.value - estimate.error - error - 1e-12 <= value <= estimate.value + error + 1e-12
    assert abs(drawn.values.sum() - sum(entropy.value for entropy in exact)) <= drawn.total_error + 0.01


A, B = coin(0.5), mess3(0.15, 0.6)


@pytest.mark.parametrize(
    ("make", "variants", "control_maps", "message"),
    [
        (chain, [[A]], [], r"^`variants` must have at least 2 entries, one per factor, got 1$"),
        (chain, [[A, A], [B]], [[0, 0]], r"^`variants\[0\]` must have one entry, .* got 2$"),
        (chain, [[A], [B]], [], r"^`control_maps` must have 1 entries, one per factor but the first, got 0$"),
        (chain, [[A], [B, B]], [[0]], r"^`control_maps\[0\]` must have 2 entries, .* got 1$"),
        (chain, [[A], [B, B]], [[0, 2]], r"^`control_maps\[0\]` must have numbers of variants from 0 to 1, .*2\]$"),
        (chain, [[A], [B, A]], [[0, 1]], r"^`variants\[1\]` must have the same .* got 3 tokens .*, and 2 with 1$"),
        (chain, [[A], []], [[0, 0]], r"^`variants\[1\]` must be HMMs, .* at least one$"),
        (conditioned, [[A], [B]], [[0, 0, 0]], r"^`control_maps` must have 2 entries, one per factor, got 1$"),
        (
            conditioned,
            [[coin(1.0), coin(0.0)], [coin(0.0), coin(1.0)]],
            # The first copies the second, and the second contradicts the first.
            [[0, 1], [0, 1]],
            r"^`control_maps` must leave a possible joint token in every state",
        ),
    ],
)
def test_lists_that_do_not_fit(make, variants, control_maps, message):
    with pytest.raises(ValueError, match=message):
        make(variants, control_maps)
