"""Myopic entropies against the enumeration of every word, against closed forms, and their errors."""

import time

import numpy as np
import pytest

from simplexity import generative_processes as gp
from simplexity.generative_processes import HMM, myopic_entropies
from simplexity.generative_processes._myopic_entropy import bounded_myopic_entropies, falling_fit
from tests import oracles

NEVER_EXACT = {
    "mess3": gp.mess3(0.05, 0.85),
    "not stationary": HMM(gp.mess3(0.1, 0.8).transition_matrices, np.array([0.9, 0.1, 0.0])),
    "leaky_rrxor": gp.leaky_rrxor(0.5, 0.4, 0.1),
}


def enumerated(process, length):
    return oracles.myopic_entropies(process.transition_matrices, process.initial_state, process.normalizer, length)


def binary_entropy(p):
    return oracles.entropy([p, 1 - p])


def test_every_process_against_all_words(process):
    length = {2: 10, 3: 7, 4: 6}.get(process.vocab_size, 3)
    estimates = myopic_entropies(process, length)
    np.testing.assert_allclose([value for value, _ in estimates], enumerated(process, length), atol=1e-11)
    assert all(error == 0 for _, error in estimates)


@pytest.mark.parametrize("name", NEVER_EXACT)
@pytest.mark.parametrize("capacity", [10, 40])
def test_the_error_brackets_the_truth_where_states_were_merged(name, capacity):
    process, length = NEVER_EXACT[name], 11 if NEVER_EXACT[name].vocab_size == 2 else 8
    values, errors, total_error = bounded_myopic_entropies(process, length, capacity=capacity)
    exact = enumerated(process, length)
    assert (exact <= values + 1e-12).all()
    assert (values - errors <= exact + 1e-12).all()
    assert 0 < (values - exact).sum() <= total_error
    assert total_error < 0.3


def test_a_bound_that_is_hardly_greater_than_the_excess():
    process = gp.mess3(0.05, 0.85)
    values, _, total_error = bounded_myopic_entropies(process, 8, capacity=40)
    assert total_error < 3 * (values - enumerated(process, 8)).sum()


@pytest.mark.parametrize("capacity", [40, 160])
def test_the_estimated_error_of_a_ghmm(capacity):
    process = gp.tom_quantum(1.0, 3.0)
    values, errors, total_error = bounded_myopic_entropies(process, 7, capacity=capacity)
    excess = values - enumerated(process, 7)
    assert (excess >= -1e-12).all()
    assert (excess <= errors + 1e-12).all()
    assert 0 < excess.sum() <= total_error


def test_a_ghmm_that_is_an_hmm_in_disguise_gets_the_proven_error():
    hmm, scale = gp.mess3(0.05, 0.85), np.array([1.0, 0.5, 0.25])
    disguised = gp.GHMM(hmm.transition_matrices / scale * scale[:, None], hmm.initial_state / scale, scale)
    for ours, theirs in zip(
        bounded_myopic_entropies(disguised, 10, capacity=50),
        bounded_myopic_entropies(hmm, 10, capacity=50),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_long_walks_keep_the_error_small():
    values, _, total_error = bounded_myopic_entropies(gp.mess3(0.05, 0.85), 64, capacity=1000)
    assert 0 < total_error / 64 < 1e-5
    assert (np.diff(values) < 1e-5).all()


@pytest.mark.parametrize(
    ("process", "entropies"),
    [
        (gp.coin(0.3), [binary_entropy(0.3)] * 4),
        # The first token is a one with probability p / (1 + p); then the state is known.
        (gp.no_consecutive_ones(0.5), [binary_entropy(1 / 3)] + [2 / 3 * np.log(2)] * 3),
        # Started in its first phase, Z1R is a zero, a one, a random bit.
        (HMM(gp.zero_one_random(0.2).transition_matrices, np.array([1.0, 0, 0])), [0, 0, binary_entropy(0.2), 0]),
    ],
)
def test_closed_forms(process, entropies):
    np.testing.assert_allclose([value for value, _ in myopic_entropies(process, 4)], entropies, atol=1e-12)


@pytest.mark.parametrize(
    ("process", "rate", "states"),
    [
        (gp.even_ones(0.5), 2 / 3 * np.log(2), [2 / 3, 1 / 3]),
        (gp.rrxor(0.5, 0.5), 2 / 3 * np.log(2), [1 / 3, 1 / 6, 1 / 6, 1 / 6, 1 / 6]),
    ],
)
def test_excess_entropy(process, rate, states):
    # Both processes let the past tell the present state, and the future show it: E is the entropy of the states.
    values = np.array([value for value, _ in myopic_entropies(process, 300)])
    assert (values - rate).sum() == pytest.approx(oracles.entropy(states), abs=1e-9)


@pytest.mark.slow
def test_from_a_stationary_state_they_never_rise():
    for process in (gp.mess3(0.05, 0.85), gp.leaky_rrxor(0.5, 0.4, 0.1), gp.tom_quantum(1.0, 3.0)):
        assert (np.diff(bounded_myopic_entropies(process, 40, capacity=30).values) <= 0).all()
        assert (np.diff(bounded_myopic_entropies(process, 400).values) <= 0).all()


@pytest.mark.slow
def test_a_sequence_that_begins_elsewhere_comes_down_to_the_same_limit():
    stationary = gp.mess3(0.1, 0.8)
    started = HMM(stationary.transition_matrices, np.array([0.9, 0.1, 0.0]))
    values, errors, total_error = bounded_myopic_entropies(started, 300)
    walked, walked_errors, _ = bounded_myopic_entropies(started, 300, capacity=1000)
    assert (np.abs(values - walked) <= errors + walked_errors).all()
    assert values[-1] == pytest.approx(bounded_myopic_entropies(stationary, 300).values[-1], abs=1e-8)
    assert errors.max() < 1e-4
    assert errors[:20].sum() < total_error < 1e-3


def test_a_phase_that_is_known_stays_known_however_long_the_sequence():
    # A fair coin, then a biased one, in turns: of infinitely many steps none makes the start less visible.
    turns = np.zeros((2, 2, 2))
    turns[:, 0, 1], turns[:, 1, 0] = [0.5, 0.5], [0.1, 0.9]
    values, _, total_error = bounded_myopic_entropies(HMM(turns, np.array([1.0, 0.0])), 300)
    np.testing.assert_allclose(values, [np.log(2), binary_entropy(0.1)] * 150, atol=1e-12)
    assert total_error == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "mean", "greatest_error"),
    [(gp.leaky_rrxor(0.5, 0.5, 0.1), 0.641534, 5e-5), (gp.tom_quantum(1.0, 3.0), 1.291617, 5e-6)],
)
def test_long_sequences(process, mean, greatest_error):
    # The means over the first 4,096 tokens are known to six digits from walks with 100,000 and 30,000 vectors.
    values, _, total_error = bounded_myopic_entropies(process, 4097)
    assert abs(values[1:].mean() - mean) <= total_error / 4096 + 5e-7
    assert total_error / 4096 < greatest_error


@pytest.mark.parametrize("process", [gp.mess3(0.0005, 0.5), gp.tom_quantum(1.0, 30.0)])
@pytest.mark.slow
def test_a_long_sequence_of_a_process_that_forgets_slowly(process):
    # The entropies are still falling where a walk to their limit would give up.
    values, _, total_error = bounded_myopic_entropies(process, 256)
    walked, _, walked_error = bounded_myopic_entropies(process, 256, capacity=600)
    assert total_error / 256 < 1e-4
    assert abs((values - walked).sum()) <= total_error + walked_error
    assert (np.diff(values) <= 0).all()


@pytest.mark.slow
def test_a_thousand_tokens_of_mess3_take_seconds():
    started = time.thread_time()
    _, _, total_error = bounded_myopic_entropies(gp.mess3(0.05, 0.85), 1024)
    assert time.thread_time() - started < 10
    assert total_error / 1024 < 1e-6


def test_lengths():
    assert myopic_entropies(gp.coin(0.5), 0) == []
    with pytest.raises(ValueError, match=r"^`length` must be at least 0, got -1$"):
        myopic_entropies(gp.coin(0.5), -1)


@pytest.mark.parametrize(
    ("values", "errors", "fitted", "fitted_errors"),
    [
        ([3, 2, 1], [0.1, 0.2, 0.3], [3, 2, 1], [0.1, 0.2, 0.3]),
        ([3, 1, 2], [0.1, 0.2, 0.3], [3, 1.5, 1.5], [0.1, 0.3, 0.3]),
        ([1, 2, 6], [0.3, 0.2, 0.1], [3, 3, 3], [0.3, 0.3, 0.3]),
        ([2, 1, 1.5, 4], [0.1, 0.1, 0.1, 0.4], [2.125] * 4, [0.4] * 4),
    ],
)
def test_falling_fit_pools_what_rises(values, errors, fitted, fitted_errors):
    ours = falling_fit(np.array(values, dtype=float), np.array(errors))
    np.testing.assert_allclose(ours, (fitted, fitted_errors))


def test_what_falls_but_for_noise_is_missed_by_no_more_than_the_noise():
    rng = np.random.default_rng(0)
    truth = np.sort(rng.random(200))[::-1]
    errors = rng.random(200) * 0.1
    noisy = truth + errors * rng.uniform(-1, 1, 200)
    fitted, fitted_errors = falling_fit(noisy, errors)
    assert (np.diff(fitted) <= 0).all()
    assert fitted.sum() == pytest.approx(noisy.sum())
    assert (np.abs(fitted - truth) <= fitted_errors).all()
    assert np.abs(fitted - truth).mean() < np.abs(noisy - truth).mean()
