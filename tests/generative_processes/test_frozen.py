"""Frozen factors: the same word in every sequence, which nothing is left to know of."""

import jax
import numpy as np
import pytest

from simplexity.generative_processes import (
    DataGenerator,
    chain,
    coin,
    conditioned,
    even_ones,
    frozen,
    loss_optimum,
    mess3,
    product,
    tom_quantum,
)


def draw(process, length, seed):
    start_key, key = jax.random.split(jax.random.key(seed))
    return np.array(process.sample(process.initial_sampling_state(16, key=start_key), length, key=key)[1])


def word_of(process, length):
    return draw(process, length, 0)[0]


def test_in_every_sequence_of_every_batch_one_factor_is_the_same_and_the_other_is_not():
    process = product([frozen(mess3(0.15, 0.6), 20, 5), coin(0.5)])
    first, second = draw(process, 20, 0), draw(process, 20, 1)
    words = np.concatenate([first // 2, second // 2])
    assert len(np.unique(words, axis=0)) == 1
    assert len(set(words[0])) == 3
    assert len(np.unique(np.concatenate([first % 2, second % 2]), axis=0)) == 32


@pytest.mark.slow
def test_the_word_follows_from_the_seed_and_has_the_frequencies_of_its_process():
    word = word_of(frozen(even_ones(0.5), 600, 1), 600)
    assert (word == word_of(frozen(even_ones(0.5), 600, 1), 600)).all()
    assert (word != word_of(frozen(even_ones(0.5), 600, 2), 600)).any()
    # Ones come in pairs, and are two thirds of the tokens.
    runs = [len(run) for run in "".join(map(str, word)).strip("1").split("0")]
    assert all(run % 2 == 0 for run in runs)
    assert word.mean() == pytest.approx(2 / 3, abs=0.1)
    assert frozen(tom_quantum(1.0, 3.0), 5, 0).vocab_size == 4


def test_it_adds_nothing_to_an_optimum():
    free = mess3(0.1, 0.7)
    expected = loss_optimum(DataGenerator(free, "auto", None), 6)
    assert loss_optimum(DataGenerator(product([frozen(coin(0.5), 6, 0), free]), "auto", None), 6).nats == expected.nats
    assert loss_optimum(DataGenerator(frozen(free, 6, 0), "auto", None), 6).nats == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("kind", ["chain", "conditioned"])
def test_a_frozen_factor_that_chooses(kind):
    """The other factor is a coin whose bias the word switches, so the optimum is known position by position."""
    word = word_of(frozen(coin(0.5), 8, 4), 8)
    coins = [coin(0.5), coin(0.9)]
    if kind == "chain":
        process = chain([[frozen(coin(0.5), 8, 4)], coins], [[0, 1]])
    else:
        process = conditioned([[frozen(coin(0.5), 8, 4)], coins], [[0, 0], [0, 1]])
    optimum = loss_optimum(DataGenerator(process, "auto", None), 8)
    entropies = [[np.log(2), -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))][token] for token in word]
    np.testing.assert_allclose(optimum.per_position, entropies, atol=1e-12)
    tokens = draw(process, 8, 0)
    assert (tokens // 2 == word).all()
    beliefs = process.factor_beliefs(np.array(jax.vmap(process.filter)(tokens)))[0]
    np.testing.assert_allclose(beliefs[0], np.eye(8)[[0, 1, 2, 3, 4, 5, 6, 7, 0]], atol=1e-6)


@pytest.mark.parametrize(("length", "seed", "name"), [(0, 0, "length"), (3, -1, "seed")])
def test_arguments_outside_their_domains(length, seed, name):
    with pytest.raises(ValueError, match=f"^`{name}` must be at least"):
        frozen(coin(0.5), length, seed)
