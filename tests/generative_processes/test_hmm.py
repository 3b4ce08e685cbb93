"""What an HMM's constructor accepts, and its words for what it does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.generative_processes import HMM, matching_parens, mess3

GOLDEN_MEAN = np.array([[[0.5, 0.0], [1.0, 0.0]], [[0.0, 0.5], [0.0, 0.0]]])
TWO_COINS = np.stack([np.diag([0.25, 0.75]), np.diag([0.75, 0.25])])


def changed(index, value):
    matrices = GOLDEN_MEAN.copy()
    matrices[index] = value
    return matrices


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (changed((0, 1, 0), 0.9), r"must have rows that sum to 1, but row 1 sums to 0\.9$"),
        (changed((1, 0, 1), -0.5), r"must be non-negative, got -0\.5 at token 1, row 0, column 1$"),
        (changed((1, 0, 1), np.nan), r"must be finite, got nan at token 1, row 0, column 1$"),
        (np.full((2, 3, 2), 0.25), r"must be square matrices .* got the shape \[2, 3, 2\]$"),
        (TWO_COINS, r"`initial_state` must be given: the stationary state is not unique .* 2 independent ones\)$"),
    ],
)
def test_matrices_that_are_no_hmm(matrices, message):
    with pytest.raises(ValueError, match=message):
        HMM(matrices)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([0.5, 0.4], r"its entries sum to 0\.9, not 1$"),
        ([1.5, -0.5], r"state 1 has the probability -0\.5$"),
        ([0.5, 0.25, 0.25], r"must have 2 entries, one per state, got the shape \[3\]$"),
        ([np.inf, 0.0], r"must be finite"),
    ],
)
def test_initial_states_that_are_no_distribution(state, message):
    with pytest.raises(ValueError, match=message):
        HMM(GOLDEN_MEAN, np.array(state))


def test_rounded_rows_are_made_exact():
    process = HMM(np.array([[[1 / 3]], [[2 / 3]]]).round(7))
    assert process.transition_matrices.sum() == pytest.approx(1, abs=1e-15)


def test_the_stationary_state_follows_the_initial_one_where_it_is_not_unique():
    process = HMM(TWO_COINS, np.array([0.25, 0.75]))
    np.testing.assert_allclose(process.stationary_state, [0.25, 0.75])


def test_a_transient_state_has_no_stationary_weight():
    process = HMM(np.array([[[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]]), np.array([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(process.stationary_state, [0, 0.5, 0.5], atol=1e-12)
    assert process.stationary_state[0] == 0


@pytest.mark.parametrize("length", [1, 7])
@pytest.mark.parametrize("process", [mess3(0.05, 0.85), matching_parens([1.0, 0.5, 0.3])], ids=["mess3", "parens"])
def test_all_tokens_at_once_are_those_of_one_by_one(process, length):
    @jax.jit
    def draw(key):
        state = process.initial_sampling_state(50, key=key)
        bits = jax.random.bits(key, (length, 50), jnp.uint32)
        return process._sample_all_at_once(state, bits), process._sample_one_by_one(state, bits)

    (states, tokens), (expected_states, expected_tokens) = jax.device_get(draw(jax.random.key(0)))
    np.testing.assert_array_equal(tokens, expected_tokens)
    np.testing.assert_array_equal(states, expected_states)
    assert len(np.unique(tokens)) > 1
