"""Processes that begin in a state of one's choice, against the words that follow from it by brute force."""

import itertools

import jax
import numpy as np
import pytest

from simplexity.generative_processes import (
    DataGenerator,
    GenerativeProcess,
    chain,
    coin,
    conditioned,
    even_ones,
    loss_optimum,
    mess3,
    myopic_entropies,
    noisy,
    nonergodic,
    product,
    tom_quantum,
    with_initial_state,
)

START = [0.7, 0.3, 0.0]
FACTORS = [mess3(0.1, 0.7), even_ones(0.4)]
CHAIN = ([[mess3(0.1, 0.7)], [even_ones(0.4), even_ones(0.8)]], [[0, 1, 1]])


def begun(process):
    return with_initial_state(process, START)


@pytest.mark.parametrize(
    ("process", "state", "expected"),
    [
        (product(FACTORS), [*START, 1, 0], product([begun(FACTORS[0]), with_initial_state(FACTORS[1], [1, 0])])),
        (
            noisy(product(FACTORS), 0.2),
            [*START, 1, 0],
            noisy(product([begun(FACTORS[0]), with_initial_state(FACTORS[1], [1, 0])]), 0.2),
        ),
        (
            nonergodic([FACTORS[0], coin(0.3)], [0.5, 0.5], "shared"),
            [0.56, 0.24, 0, 0.2],
            nonergodic([begun(FACTORS[0]), coin(0.3)], [0.8, 0.2], "shared"),
        ),
        (
            chain(*CHAIN),
            [*START, 1, 0],
            chain([[begun(FACTORS[0])], [with_initial_state(CHAIN[0][1][0], [1, 0]), CHAIN[0][1][1]]], CHAIN[1]),
        ),
    ],
    ids=["product", "noisy", "nonergodic", "chain"],
)
def test_a_composite_begins_as_one_made_of_begun_parts(process, state, expected):
    changed = with_initial_state(process, state)
    np.testing.assert_allclose(changed.initial_state, expected.initial_state, atol=1e-15)
    words = np.array(list(itertools.product(range(process.vocab_size), repeat=3)))

    @jax.jit
    def compute(words):
        return jax.vmap(changed.word_probability)(words), jax.vmap(expected.word_probability)(words)

    probabilities, of_parts = compute(words)
    np.testing.assert_allclose(probabilities, of_parts, atol=1e-7)
    _check_samples(changed, words, probabilities)


def _check_samples(process: GenerativeProcess, words, probabilities) -> None:
    @jax.jit
    def draw(key):
        start_key, key = jax.random.split(key)
        return process.sample(process.initial_sampling_state(20_000, key=start_key), 3, key=key)[1]

    tokens = draw(jax.random.key(0))
    codes = np.ravel_multi_index(np.array(tokens).T, (process.vocab_size,) * 3)
    frequencies = np.bincount(codes, minlength=len(words)) / len(tokens)
    assert np.abs(frequencies - probabilities).sum() < 5 * np.sqrt(len(words) / len(tokens))


def test_words_and_entropies_begin_in_the_state_and_the_long_run_does_not():
    process = begun(mess3(0.1, 0.7))
    first = START @ process.emissions.T
    np.testing.assert_allclose(process.token_probabilities(process.initial_state), first)
    assert myopic_entropies(process, 1)[0].value == pytest.approx(-(first * np.log(first)).sum())
    np.testing.assert_allclose(process.stationary_state, np.full(3, 1 / 3))


def test_a_ghmm_takes_a_predictive_vector_of_any_scale():
    process = tom_quantum(1.0, 3.0)
    later = np.array(process.filter(np.array([2]))[-1], np.float64)
    begun = with_initial_state(process, (3 * later).tolist())
    np.testing.assert_allclose(begun.initial_state, later, atol=1e-6)


def test_a_generator_begins_there_and_so_does_its_optimum():
    generator = DataGenerator(mess3(0.1, 0.7), None, None, initial_state=START)
    assert generator.process.initial_state.tolist() == START
    optimum = loss_optimum(generator, 4)
    assert optimum.nats == loss_optimum(DataGenerator(begun(mess3(0.1, 0.7)), None, None), 4).nats
    assert optimum.nats != loss_optimum(DataGenerator(mess3(0.1, 0.7), None, None), 4).nats


@pytest.mark.parametrize(
    ("process", "state", "message"),
    [
        (mess3(0.1, 0.7), [1, 0], "must have 3 entries, one per state"),
        (mess3(0.1, 0.7), [1, 1, 0], "its entries sum to 2, not 1"),
        (mess3(0.1, 0.7), [2, -1, 0], "state 1 has the probability -1"),
        (product(FACTORS), [1, 0, 0, 1], "must have 5 entries, one per state"),
        (product(FACTORS), [0, 0, 0.5, 1, 0], "its entries sum to 0.5, not 1"),
        (chain(*CHAIN), [1, 0, 0, 0.5, 0], "its entries sum to 0.5, not 1"),
        (conditioned([[coin(0.5)], [even_ones(0.5)]], [[0, 0], [0, 0]]), [1, 2], "must have 3 entries"),
    ],
)
def test_a_state_that_does_not_fit(process, state, message):
    with pytest.raises(ValueError, match=f"^`initial_state` must .*{message.removeprefix('must ')}"):
        with_initial_state(process, state)
