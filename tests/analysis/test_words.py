"""Against enumeration in float64 by the oracles."""

import numpy as np
import pytest

from simplexity import generative_processes as gp
from simplexity.analysis import words_of
from tests import oracles


def listed(words):
    return [
        tuple(words.sequences[row, position + 1 - length : position + 1])
        for row, position, length in zip(words.rows, words.positions, words.lengths, strict=True)
    ]


@pytest.mark.parametrize("bos", [None, "auto"])
@pytest.mark.parametrize(
    "process",
    [gp.mess3(0.1, 0.7), gp.rrxor(0.5, 0.4), gp.tom_quantum(1.0, 7.0), gp.even_ones(0.5), gp.fanizza(2000.0, 0.49)],
)
def test_every_word_once_with_its_probability_and_belief(process, bos):
    words = words_of(gp.DataGenerator(process, bos, None), 4)
    tables = process.transition_matrices, process.initial_state, process.normalizer
    expected = {
        word: probability
        for length in range(bos is None, 5)
        for word in oracles.words(process.vocab_size, length)
        if (probability := oracles.word_probability(*tables, word)) > 1e-12
    }
    found = listed(words)
    assert sorted(found) == sorted(expected)
    assert words.num_drawn is None
    for word, probability, belief, following in zip(
        found, words.probabilities, words.beliefs, words.next_token_probabilities, strict=True
    ):
        assert probability == pytest.approx(expected[word], abs=1e-14)
        row = process.initial_state
        for token in word:
            row = row @ process.transition_matrices[token]
        np.testing.assert_allclose(belief, row / (row @ process.normalizer), atol=1e-9)
        after = [oracles.word_probability(*tables, (*word, token)) for token in range(process.vocab_size)]
        np.testing.assert_allclose(following, np.array(after) / probability, atol=1e-9)


def test_words_of_a_product_and_the_beliefs_of_its_factors():
    factors = [gp.mess3(0.1, 0.7), gp.tom_quantum(1.0, 7.0)]
    process = gp.product(factors)
    words = words_of(process, 2)
    assert len(words.rows) == 12 + 12**2
    beliefs = process.factor_beliefs(words.beliefs)
    assert process.joint_beliefs(words.beliefs).shape == (len(words.rows), 9)
    for word, probability, *own in zip(listed(words), words.probabilities, *beliefs, strict=True):
        expected = 1.0
        for factor, belief, tokens in zip(
            factors, own, zip(*[divmod(token, 4) for token in word], strict=True), strict=True
        ):
            tables = factor.transition_matrices, factor.initial_state, factor.normalizer
            expected *= oracles.word_probability(*tables, tokens)
            state = factor.initial_state
            for token in tokens:
                state = state @ factor.transition_matrices[token]
            np.testing.assert_allclose(belief, state / (state @ factor.normalizer), atol=1e-12)
        assert probability == pytest.approx(expected, abs=1e-14)


def test_bos_stands_before_every_word():
    words = words_of(gp.DataGenerator(gp.coin(0.3), "auto", None), 2)
    assert (words.sequences[:, 0] == 2).all()
    assert (words.positions == words.lengths).all()


def test_a_sample_where_there_are_too_many_words():
    process = gp.mess3(0.1, 0.7)
    words = words_of(process, 12, max_words=240_000, seed=1)
    assert words.num_drawn == 20_000
    assert len(words.rows) <= 240_000
    assert words.probabilities.sum() == pytest.approx(12)
    exact = words_of(process, 3)
    drawn, expected_words = listed(words), listed(exact)
    short = words.lengths <= 3
    assert sorted(np.array(drawn, dtype=object)[short]) == sorted(expected_words)
    index = [drawn.index(word) for word in expected_words]
    expected = exact.probabilities
    deviations = (words.probabilities[index] - expected) / np.sqrt(expected / 20_000)
    assert np.abs(deviations).max() < 4
    # The belief states are exact all the same.
    np.testing.assert_allclose(words.beliefs[index], exact.beliefs, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"length": 0}, "length"), ({"length": 99_999}, "length"), ({"length": 2, "max_words": 0}, "max_words")],
)
def test_what_is_refused(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must be at (least|most)"):
        words_of(gp.coin(0.5), **arguments)


def test_with_and_without_bos_the_same_words_have_the_same_beliefs():
    process = gp.mess3(0.05, 0.85)
    behind, alone = words_of(gp.DataGenerator(process, 3, None), 3), words_of(process, 3)
    assert (behind.lengths == 0).sum() == 1
    np.testing.assert_allclose(behind.beliefs[behind.lengths > 0], alone.beliefs, atol=1e-12)
    np.testing.assert_array_equal(behind.positions[behind.lengths > 0], alone.positions + 1)
