"""What a GHMM's constructor accepts, its normalisation, and draws where terms cancel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.generative_processes import GHMM, no_consecutive_ones, post_quantum, tom_quantum

BASIS = np.array([[1.0, 2.0], [-1.0, 1.0]])
# The eigenvalue 1 twice, and a row that does not sum to one: nothing tells which right eigenvector is meant.
NON_ERGODIC = np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-0.5, -0.5, 0.5]]])


def rebased(process):
    """The same process in another basis, where matrices have negative entries and the normaliser is not all ones."""
    return GHMM(np.linalg.inv(BASIS) @ process.transition_matrices @ BASIS)


def test_another_basis_is_the_same_process():
    original = no_consecutive_ones(0.3)
    process = rebased(original)
    assert process.transition_matrices.min() < 0
    assert np.ptp(process.normalizer) > 0.1
    word = jnp.array([0, 1, 0, 0, 1])
    np.testing.assert_allclose(process.word_probability(word), original.word_probability(word), rtol=1e-5)


def test_the_scale_of_the_initial_state_does_not_matter():
    matrices = post_quantum(1.0, 0.5).transition_matrices
    states = [GHMM(matrices, scale * np.array([1.0, -1.0, -1.0])).initial_state for scale in (1, 5, -0.1)]
    np.testing.assert_allclose(states, [states[0]] * 3)


@pytest.mark.parametrize(
    ("matrices", "state", "message"),
    [
        (np.array([[[0.5]], [[0.7]]]), None, r"must have the dominant eigenvalue 1, got 1\.2$"),
        (np.array([[[1.2]], [[-0.2]]]), None, r"they give the word \[1\] a negative probability \(-0\.2 "),
        (np.stack([np.eye(2) / 2] * 2), None, r"`initial_state` must be given: the stationary state is not unique"),
        (np.diag([1.0, 0.5])[None], np.array([0.0, 1.0]), r"must not be orthogonal to the normalizer"),
        (NON_ERGODIC, np.array([1.0, 0.0, 0.0]), r"^`normalizer` must be given: .* have 2 independent ones\)$"),
    ],
)
def test_matrices_that_are_no_ghmm(matrices, state, message):
    with pytest.raises(ValueError, match=message):
        GHMM(matrices, state)


def test_the_negative_word_is_named():
    # The state after token 0 is (1, 0), which gives token 1 the probability -0.2; from the start, all is well.
    matrices = np.array([[[1.2, 0.0], [0.5, 0.0]], [[-0.2, 0.0], [0.0, 0.5]]])
    with pytest.raises(ValueError, match=r"the word \[0, 1\] a negative probability \(-0\.2 for its last token\)$"):
        GHMM(matrices, np.array([0.0, 1.0]))


def test_a_wrong_normalizer_is_refused():
    with pytest.raises(ValueError, match=r"`normalizer` must be a right eigenvector"):
        GHMM(no_consecutive_ones(0.5).transition_matrices, None, np.array([1.0, 2.0]))


@pytest.mark.parametrize("process", [post_quantum(1.0, 0.5), tom_quantum(1.0, 1.0)], ids=["post_quantum", "projective"])
def test_tokens_of_cancelling_probability_are_not_drawn(process):
    @jax.jit
    def draw(key):
        return process.sample(process.initial_sampling_state(256, key=key), 200, key=key)

    state, tokens = map(np.asarray, draw(jax.random.key(1)))
    pairs = np.zeros((process.vocab_size,) * 2)
    np.add.at(pairs, (tokens[:, :-1].ravel(), tokens[:, 1:].ravel()), 1)
    impossible = [(0, 0)] if process.vocab_size == 3 else [(0, 1), (1, 0), (2, 3), (3, 2)]
    assert pairs.sum() == 256 * 199
    assert sum(pairs[pair] for pair in impossible) == 0
    np.testing.assert_allclose(state @ process.normalizer, 1, rtol=1e-4)
