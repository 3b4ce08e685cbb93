"""Losses and scores against their definitions in numpy."""

import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.training._losses import accuracy, cross_entropy, kl_divergence

LOGITS = jnp.array([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])


def softmax(row):
    weights = np.exp(np.asarray(row, dtype=np.float64))
    return weights / weights.sum()


def test_cross_entropy_is_the_surprise_at_the_target():
    expected = [-np.log(softmax(LOGITS[0])[1]), -np.log(softmax(LOGITS[1])[2])]
    np.testing.assert_allclose(cross_entropy(LOGITS, jnp.array([1, 2])), expected, rtol=1e-6)


def test_cross_entropy_is_finite_for_large_logits():
    assert float(cross_entropy(jnp.array([1e4, -1e4]), jnp.array(1))) == pytest.approx(2e4)


def test_accuracy_counts_the_likeliest_token():
    np.testing.assert_array_equal(accuracy(LOGITS, jnp.array([0, 1])), [1.0, 0.0])


@pytest.mark.parametrize("probabilities", [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
def test_divergence_is_the_expected_excess_of_the_cross_entropy(probabilities):
    p = np.array(probabilities)
    q = softmax(LOGITS[0])
    entropy = -sum(x * np.log(x) for x in p if x > 0)
    expected = -(p * np.log(q)).sum() - entropy
    assert float(kl_divergence(jnp.array(p, dtype=jnp.float32), LOGITS[0])) == pytest.approx(expected, rel=1e-5)


def test_divergence_from_itself_is_zero():
    p = jnp.array([0.25, 0.75])
    assert float(kl_divergence(p, jnp.log(p))) == pytest.approx(0, abs=1e-6)
