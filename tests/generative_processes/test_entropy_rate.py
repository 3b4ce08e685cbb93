"""Entropy rates against closed forms, against brackets from all words, and of mixtures."""

from types import SimpleNamespace

import numpy as np
import pytest

from simplexity import generative_processes as gp
from simplexity.generative_processes import GHMM, HMM, _entropy_rate, entropy_rate, myopic_entropies
from tests import oracles

THREE, TWO = [0, 1, 2], [0, 1]


def binary_entropy(p):
    return oracles.entropy([p, 1 - p])


@pytest.mark.parametrize(
    ("process", "rate"),
    [
        (gp.coin(0.3), binary_entropy(0.3)),
        (gp.even_ones(0.25), 0.8 * binary_entropy(0.25)),
        (gp.no_consecutive_ones(0.4), binary_entropy(0.4) / 1.4),
        (gp.zero_one_random(0.2), binary_entropy(0.2) / 3),
        (gp.rip(0.4, 0.3), (binary_entropy(0.4) + 0.4 * binary_entropy(0.3)) / 2.4),
        (gp.nemo(0.4, 0.3), (binary_entropy(0.4) + 0.6 * binary_entropy(0.3)) / 2.2),
        (gp.rrxor(0.5, 0.4), (np.log(2) + binary_entropy(0.4)) / 3),
        (gp.mr_name(0.3, 0.25), (0.25 * np.log(2) + oracles.entropy([0.3, 0.25, 0.45])) / 1.5),
        (gp.matching_parens([1.0, 0.5, 0.2]), (2 * binary_entropy(0.5) + 1.25 * binary_entropy(0.2)) / 4.5),
        # Periodic, and never in its stationary state: a fixed cycle of three tokens.
        (HMM(np.eye(3)[:, :, None] * np.roll(np.eye(3), 1, axis=1), np.array([1.0, 0, 0])), 0.0),
    ],
)
def test_unifilar_processes_have_a_closed_form(process, rate):
    assert entropy_rate(process) == pytest.approx((rate, 0), abs=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("process", [gp.mess3(0.05, 0.85), gp.mess3(0.02, 0.6), gp.leaky_rrxor(0.5, 0.4, 0.3)])
def test_the_bracket_lies_within_the_one_of_all_words(process):
    length = 6 if process.vocab_size == 3 else 8
    matrices, stationary = process.transition_matrices, process.initial_state
    upper = oracles.myopic_entropies(matrices, stationary, process.normalizer, length)[-1]
    lower = oracles.myopic_entropies_from_known_states(matrices, stationary, length)[-1]
    value, error = entropy_rate(process)
    assert lower - 1e-5 < value - error < value < upper
    assert 0 < error < 2e-4
    assert error < 0.1 * (upper - lower)


def test_renewal_processes_against_their_series():
    # sns shows its state with every one. The rate is the entropy of the gaps between ones over their mean.
    p, q = 0.5, 0.25
    gaps = np.convolve(p * (1 - p) ** np.arange(400), q * (1 - q) ** np.arange(400))[:400]
    rate = oracles.entropy(gaps) / (gaps @ np.arange(2, 402))
    assert entropy_rate(gp.sns(p, q)).value == pytest.approx(rate, abs=1e-9)
    # fanizza resets with every zero, after runs of ones.
    process = gp.fanizza(2000.0, 0.4)
    reset, go_on = process.transition_matrices
    state, exits = reset[0] / reset[0].sum(), reset.sum(axis=1)
    runs = np.array([state @ np.linalg.matrix_power(go_on, k) @ exits for k in range(60)])
    rate = oracles.entropy(np.maximum(runs, 0)) / (1 + runs @ np.arange(60))
    assert entropy_rate(process).value == pytest.approx(rate, abs=1e-9)


def test_naming_days_costs_more_than_it_would_to_who_knew_the_day():
    value, error = entropy_rate(gp.days_of_week())
    assert value - error > (5 * np.log(3) + 10 * np.log(15)) / 15


def test_projective_measurements():
    # Alpha = beta: along the axis measured last the outcome comes again, along the other one it is a fair coin.
    rate = oracles.entropy([0.5, 0.25, 0.25])
    assert entropy_rate(gp.tom_quantum(1.0, 1.0)) == pytest.approx((rate, 0), abs=1e-9)


def test_a_ghmm_has_an_upper_bound_with_an_estimated_error():
    process = gp.tom_quantum(1.0, 1.5)
    value, error = entropy_rate(process)
    assert value < myopic_entropies(process, 30)[-1].value + 1e-4
    assert 0 < error < 1e-3


@pytest.mark.parametrize(
    ("weights", "components", "vocab_maps"),
    [
        ([0.25, 0.75], [gp.coin(0.1), gp.coin(0.4)], [TWO, TWO]),
        # Components that nothing tells apart, and a unifilar one beside one that is not.
        ([0.5, 0.5], [gp.sns(0.5, 0.5), gp.sns(0.5, 0.5)], [TWO, TWO]),
        ([0.3, 0.7], [gp.even_ones(0.5), gp.mess3(0.3, 0.6)], [TWO, THREE]),
        # The first is an HMM in a whole that is not.
        ([0.6, 0.4], [gp.mess3(0.3, 0.6), gp.fanizza(2000.0, 0.4)], [THREE, TWO]),
    ],
)
def test_a_mixture_has_the_mean_rate_of_its_components(weights, components, vocab_maps):
    mixture = gp.nonergodic(components, weights, vocab_maps)
    expected = np.average([entropy_rate(component) for component in components], axis=0, weights=weights)
    np.testing.assert_allclose(entropy_rate(mixture), expected, atol=1e-12)


def test_the_initial_state_decides_between_components_reached_from_it():
    # From the transient state, a coin of 0.1 with probability 0.25, else one of 0.4.
    matrices = np.zeros((2, 3, 3))
    matrices[0, 0] = [0, 0.25, 0.75]
    matrices[:, 1, 1], matrices[:, 2, 2] = [0.1, 0.9], [0.4, 0.6]
    process = HMM(matrices, np.array([1.0, 0, 0]))
    rate = 0.25 * binary_entropy(0.1) + 0.75 * binary_entropy(0.4)
    assert entropy_rate(process) == pytest.approx((rate, 0), abs=1e-12)


@pytest.mark.slow
def test_it_is_at_most_every_myopic_entropy_of_a_stationary_process(process):
    # Of all these processes, only the mixtures' components and parities take longer to show than twenty tokens.
    rate = entropy_rate(process)
    entropies = myopic_entropies(process, 20)
    assert all(rate.value - rate.error <= value + 1e-12 for value, _ in entropies)
    assert entropies[-1].value - rate.value < 0.06


def test_a_presentation_without_negative_entries_is_bracketed():
    hmm, scale = gp.mess3(0.3, 0.6), np.array([1.0, 0.5, 0.25])
    disguised = GHMM(hmm.transition_matrices / scale * scale[:, None], hmm.initial_state / scale, scale)
    np.testing.assert_allclose(entropy_rate(disguised), entropy_rate(hmm), atol=1e-9)


def test_composites_of_more_than_five_joint_states_have_the_rate_of_drawn_words(monkeypatch):
    walked, drawn = (1.0, 0.0), (2.0, 0.0)
    monkeypatch.setattr(
        _entropy_rate, "stationary_walk", lambda *_: SimpleNamespace(rate=_entropy_rate.Estimate(*walked))
    )
    monkeypatch.setattr(_entropy_rate, "drawn_entropy_rate", lambda *_: drawn)
    four, nine = (gp.noisy(gp.product([factor] * 2), 0.1) for factor in (gp.sns(0.5, 0.25), gp.mess3(0.25, 0.6)))
    assert entropy_rate(four) == pytest.approx(walked)
    assert entropy_rate(nine) == pytest.approx(drawn)
    assert entropy_rate(nine.as_matrices()) == pytest.approx(walked)
