"""Mixtures without matrices, made of small components so that the same mixture with matrices knows the truth."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity import generative_processes as gp
from simplexity.generative_processes import DataGenerator, entropy_rate, loss_optimum, myopic_entropies
from simplexity.generative_processes._mixture import Mixture

PARTS = [
    gp.product([gp.mess3(0.15, 0.6), gp.coin(0.3)]),
    gp.chain([[gp.coin(0.3)], [gp.even_ones(0.5), gp.even_ones(0.25)]], [[0, 1]]),
]
# Token 5 excludes the second component, token 6 the first one.
WEIGHTS, MAPS = [0.3, 0.7], [[0, 1, 2, 3, 4, 5], [0, 1, 2, 6]]
MIXTURE, EXACT = Mixture(PARTS, WEIGHTS, MAPS), gp.nonergodic(PARTS, WEIGHTS, MAPS)


def test_entropies_are_those_of_the_matrices_and_the_rate_is_the_components_mean():
    found, expected = (np.array(myopic_entropies(process, 5)) for process in (MIXTURE, EXACT))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    parts = [gp.coin(0.3), gp.even_ones(0.5)]
    rates = np.array([entropy_rate(part) for part in parts])
    np.testing.assert_allclose(entropy_rate(Mixture(parts, WEIGHTS, [[0, 1]] * 2)), WEIGHTS @ rates, atol=1e-12)


@pytest.mark.slow
def test_the_error_of_a_long_row_s_optimum_holds():
    found, expected = (loss_optimum(DataGenerator(process, None, None), 32) for process in (MIXTURE, EXACT))
    assert 0 < found.error_nats < 2e-4
    assert abs(found.nats - expected.nats) <= found.error_nats + expected.error_nats


@pytest.mark.parametrize("word", [[0, 1, 2, 0, 1], [0, 5, 1, 4, 3], [1, 6, 0, 6, 6]])
def test_filtering_in_both_precisions_gives_the_posterior_of_the_matrices(word):
    expected = gp.component_posterior(EXACT, np.asarray(EXACT.filter(np.array(word)), np.float64))
    # As in a run: with the tables as arguments of a compiled program.
    in_float32 = eqx.filter_jit(Mixture.filter)(jax.tree.map(jnp.asarray, MIXTURE), jnp.array(word))
    state, states = MIXTURE.initial_state, [MIXTURE.initial_state]
    for token in word:
        state = MIXTURE.successors(state[None], np.array([token]))[0]
        states.append(state)
    np.testing.assert_allclose(in_float32, states, atol=1e-5)
    np.testing.assert_allclose(gp.component_posterior(MIXTURE, np.array(states)), expected, atol=1e-5)
    probabilities = MIXTURE.token_probabilities(np.array(states))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-12)
    exact = [EXACT.observation_probabilities(state) for state in EXACT.filter(np.array(word))]
    np.testing.assert_allclose(probabilities, exact, atol=1e-5)


def test_what_no_component_can_emit_has_no_state_and_what_excludes_one_leaves_zeros():
    after = MIXTURE.successors(MIXTURE.initial_state[None], np.array([6]))
    assert MIXTURE.posterior(after).tolist() == [[0, 1]]
    assert not after[:, 2 : 2 + PARTS[0].num_states].any()
    assert np.isnan(MIXTURE.successors(after, np.array([5]))).any()


def test_drawn_words_have_their_probabilities_also_where_sequences_are_continued():
    @eqx.filter_jit
    def draw(mixture, key):
        keys = jax.random.split(key, 3)
        state, first = mixture.sample(mixture.initial_sampling_state(40_000, key=keys[0]), 1, key=keys[1])
        return first[:, 0] * 7 + mixture.sample(state, 1, key=keys[2])[1][:, 0]

    shares = np.bincount(np.asarray(draw(jax.tree.map(jnp.asarray, MIXTURE), jax.random.key(0))), minlength=49) / 40_000
    first = EXACT.token_probabilities(EXACT.initial_state)
    probabilities = np.zeros(49)
    for token in range(7):
        after = EXACT.successors(EXACT.initial_state, np.array(token))
        probabilities[7 * token : 7 * token + 7] = first[token] * EXACT.token_probabilities(after)
    # Five standard deviations of a binomial share.
    assert (np.abs(shares - probabilities) <= 5 * np.sqrt(probabilities / 40_000)).all()


def test_large_components_make_one_that_knows_its_optimum():
    large = gp.nonergodic([gp.product([gp.mess3(0.15, 0.6)] * 5), gp.mess3(0.05, 0.85)], [0.5, 0.5], "shared")
    assert isinstance(large, Mixture)
    assert large.vocab_size == 243
    assert loss_optimum(DataGenerator(large, None, None), 1).error_nats < 2e-3
    assert gp.component_posterior(large, large.initial_state[None]).tolist() == [[0.5, 0.5]]
    with pytest.raises(ValueError, match="`carry_state` must be false"):
        loss_optimum(DataGenerator(large, None, None), 4, carry_state=True)
