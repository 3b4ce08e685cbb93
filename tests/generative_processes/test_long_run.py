"""Long-run distributions of chains, also of those that hardly ever switch."""

from fractions import Fraction

import numpy as np
import pytest

from simplexity import generative_processes as gp
from simplexity.generative_processes import HMM, DataGenerator, entropy_rate, is_ergodic, loss_optimum, myopic_entropies
from simplexity.generative_processes._long_run import long_run_distribution, recurrent_classes


def exact_stationary(rates):
    """In rational numbers, by Cramer's rule for three states."""
    a, b, c = ([Fraction(entry) for entry in row] for row in rates)
    trees = [b[0] * c[0] + b[0] * c[1] + b[2] * c[0], a[1] * c[1] + a[1] * c[0] + a[2] * c[1]]
    trees.append(a[2] * b[2] + a[2] * b[0] + a[1] * b[2])
    return [float(tree / sum(trees)) for tree in trees]


@pytest.mark.parametrize("small", [1e-2, 1e-8, 1e-11, 1e-14])
def test_small_rates_lose_no_digits(small):
    rates = [[0, small, 2 * small], [3 * small, 0, 0.5], [small, 0.25, 0]]
    matrix = np.array(rates) + np.diag(1 - np.sum(rates, axis=1))
    for start in np.eye(3):
        np.testing.assert_allclose(long_run_distribution(matrix, start), exact_stationary(rates), rtol=1e-12)


def test_transient_states_and_several_classes():
    # From 0: to the class {1} once in four times, else to {2, 3}, which alternate.
    matrix = np.array([[0.2, 0.2, 0.6, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    assert [list(np.flatnonzero(states)) for states in recurrent_classes(matrix)] == [[2, 3], [1]]
    np.testing.assert_allclose(long_run_distribution(matrix, np.eye(4)[0]), [0, 0.25, 0.375, 0.375])
    np.testing.assert_allclose(long_run_distribution(matrix, np.eye(4)[3]), [0, 0, 0.5, 0.5])


def switching_coins(rate):
    """A coin of 0.1 and one of 0.4, each for about 1 / rate tokens."""
    return np.array([[[p * (1 - rate), p * rate], [q * rate, q * (1 - rate)]] for p, q in ((0.1, 0.4), (0.9, 0.6))])


@pytest.mark.slow
def test_a_process_that_hardly_ever_switches_has_one_stationary_state():
    process = HMM(switching_coins(1e-11))
    np.testing.assert_allclose(process.stationary_state, [0.5, 0.5], rtol=1e-12)
    assert is_ergodic(process)
    started = HMM(switching_coins(1e-11), np.array([1.0, 0.0]))
    np.testing.assert_allclose(started.stationary_state, [0.5, 0.5], rtol=1e-12)
    # A short sequence sees one coin; in the long run there are both.
    coin = myopic_entropies(gp.coin(0.1), 1)[0].value
    assert loss_optimum(DataGenerator(started, None, None), 20).nats == pytest.approx(coin, abs=1e-8)
    rate = entropy_rate(started)
    mean = (coin + myopic_entropies(gp.coin(0.4), 1)[0].value) / 2
    assert rate.value - rate.error - 1e-9 <= mean <= rate.value + 1e-9


def test_mixtures_are_not_ergodic():
    assert is_ergodic(gp.rrxor(0.5, 0.5))
    assert not is_ergodic(gp.mess3(0.0, 0.85))
    assert not is_ergodic(gp.nonergodic([gp.coin(0.5), gp.tom_quantum(1.0, 3.0)], [0.5, 0.5], [[0, 1], [0, 1, 2, 3]]))


@pytest.mark.parametrize("beta", [1e-12, 1e-6, 1e200])
def test_a_bloch_walk_of_any_strength(beta):
    # Hardly anything is measured, or hardly anything is left to the identity: all four outcomes stay alike.
    values = [value for value, _ in myopic_entropies(gp.tom_quantum(1.0, beta), 4)]
    np.testing.assert_allclose(values, np.log(4), atol=1e-10)
    ratio = [value for value, _ in myopic_entropies(gp.tom_quantum(2e200, 6e200), 4)]
    np.testing.assert_allclose(ratio, [value for value, _ in myopic_entropies(gp.tom_quantum(1.0, 3.0), 4)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gp.sns(1e-300, 0.5), r"^`p` must lie in \[1e-12, 1\], got 1e-300$"),
        (lambda: gp.mr_name(0.4, 1e-300), r"^`q` must lie in \[1e-12, 1\], got 1e-300$"),
        (lambda: gp.post_quantum(1e-13, 1 - 1e-16), r"^`log_alpha` and `beta` must not be so near to 0 and 1 "),
        (
            lambda: gp.GHMM(gp.tom_quantum(1.0, 3e-6).transition_matrices),
            r"^`transition_matrices` of a GHMM, .* at a rate of at least 1e-10 per token or not at all, got about",
        ),
    ],
)
def test_what_rounding_would_decide_is_refused_in_the_config_s_own_words(make, message):
    with pytest.raises(ValueError, match=message):
        make()
