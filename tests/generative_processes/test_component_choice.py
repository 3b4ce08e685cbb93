"""Mixtures' entropies: against all words, against words drawn by an oracle, and their errors."""

import numpy as np
import pytest

from simplexity import generative_processes as gp
from simplexity.generative_processes import HMM, DataGenerator, entropy_rate, loss_optimum, myopic_entropies
from simplexity.generative_processes._myopic_entropy import bounded_myopic_entropies
from tests import oracles

# The longest walks there are, against oracles that draw many words.
pytestmark = pytest.mark.slow

LENGTH = 64


def mixture(*components, weights=None, vocab_maps=None):
    weights = weights or [1 / len(components)] * len(components)
    vocab_maps = vocab_maps or [list(range(component.vocab_size)) for component in components]
    return gp.nonergodic(components, weights, vocab_maps)


def optimum(process):
    return loss_optimum(DataGenerator(process, None, None), LENGTH)


MIXTURES = {
    "alike": mixture(gp.mess3(0.05, 0.85), gp.mess3(0.15, 0.6), weights=[0.3, 0.7]),
    "unlike": mixture(gp.mess3(0.05, 0.85), gp.leaky_rrxor(0.5, 0.5, 0.2), weights=[0.4, 0.6]),
    "ghmm": mixture(gp.tom_quantum(1.0, 3.0), gp.mess3(0.05, 0.85)),
    "not stationary": mixture(HMM(gp.mess3(0.1, 0.8).transition_matrices, np.array([0.9, 0.1, 0.0])), gp.coin(0.4)),
    "three": mixture(gp.mess3(0.05, 0.85), gp.coin(0.2), gp.leaky_rrxor(0.5, 0.5, 0.1), weights=[0.2, 0.5, 0.3]),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_the_error_brackets_the_truth(name):
    process, length = MIXTURES[name], 7 if name != "ghmm" else 6
    exact = oracles.myopic_entropies(process.transition_matrices, process.initial_state, process.normalizer, length)
    # As good as the rest: words are drawn from the third or fourth token on.
    values, errors, total_error = bounded_myopic_entropies(process, length, capacity=40)
    assert 0 < errors.max() < 0.03
    assert (np.abs(values - exact) <= errors + 1e-12).all()
    assert abs((values - exact).sum()) <= total_error
    np.testing.assert_allclose([value for value, _ in myopic_entropies(process, length)], exact, atol=1e-11)


def test_components_that_nothing_tells_apart():
    single = bounded_myopic_entropies(gp.mess3(0.05, 0.85), 20)
    double = bounded_myopic_entropies(mixture(*[gp.mess3(0.05, 0.85)] * 2), 20)
    np.testing.assert_allclose(double.values, single.values, atol=1e-12)


def test_components_that_the_first_token_tells_apart():
    parts = gp.mess3(0.05, 0.85), gp.leaky_rrxor(0.5, 0.5, 0.1)
    process = mixture(*parts, weights=[0.25, 0.75], vocab_maps=[[0, 1, 2], [3, 4]])
    own = [bounded_myopic_entropies(part, LENGTH) for part in parts]
    values, _, total_error = bounded_myopic_entropies(process, LENGTH)
    expected = np.average([part.values for part in own], axis=0, weights=[0.25, 0.75])
    expected[0] += oracles.entropy([0.25, 0.75])
    np.testing.assert_allclose(values, expected, atol=1e-9)
    assert total_error == pytest.approx(np.average([part.total_error for part in own], weights=[0.25, 0.75]), rel=1e-5)


def test_blocks_that_are_no_processes_by_themselves():
    # 1.25 times a coin less 0.25 times another: a process, though no mixture.
    coins = [gp.coin(0.5), gp.coin(0.4)]
    matrices = np.zeros((2, 2, 2))
    for state, coin in enumerate(coins):
        matrices[:, state, state] = coin.transition_matrices[:, 0, 0]
    process = gp.GHMM(matrices, np.array([1.05, -0.05]), np.ones(2))
    exact = oracles.myopic_entropies(process.transition_matrices, process.initial_state, process.normalizer, 8)
    np.testing.assert_allclose([value for value, _ in myopic_entropies(process, 8)], exact, atol=1e-11)


@pytest.mark.parametrize(
    "components",
    [
        (gp.mess3(0.05, 0.85), gp.mess3(0.15, 0.6)),
        (gp.tom_quantum(1.0, 4.3), gp.tom_quantum(1.0, 2.25)),
    ],
)
def test_optima_against_words_drawn_by_an_oracle(components):
    tables = [(part.transition_matrices, part.initial_state, part.normalizer) for part in components]
    first, last, standard_error = oracles.choice_entropies(
        tables, [0.5, 0.5], LENGTH + 1, 50_000, np.random.default_rng(0)
    )
    own = [bounded_myopic_entropies(part, LENGTH + 1) for part in components]
    expected = (np.mean([part.values[1:].sum() for part in own]) + first - last) / LENGTH
    computed = optimum(mixture(*components))
    assert abs(computed.nats - expected) < computed.error_nats + 4 * standard_error / LENGTH
    assert computed.error_nats < 1e-4
    # The positions' sum is the whole's, and none is above the one before.
    assert computed.nats == pytest.approx(computed.per_position.mean(), abs=1e-12)
    assert (np.diff(computed.per_position) <= 0).all()


# `make bench-optima` has all pairs.
@pytest.mark.parametrize(
    "components",
    [
        (gp.mess3(0.05, 0.85), gp.tom_quantum(1.0, 51**0.5)),
        (gp.leaky_rrxor(0.5, 0.5, 0.1), gp.rrxor(0.5, 0.5)),
        (gp.fanizza(2000.0, 0.49), gp.post_quantum(1.0, 0.5)),
        (gp.even_ones(0.5), gp.days_of_week()),
    ],
)
def test_the_stated_error_is_below_a_trained_model_s_excess(components):
    computed = optimum(mixture(*components))
    assert 0 <= computed.error_nats < 1e-4
    rates = [entropy_rate(part) for part in components]
    assert computed.per_position[-1] > np.mean([rate.value - rate.error for rate in rates]) - computed.error_nats
