"""The walk over mixed states: what it takes together, what it forgets."""

import math
from itertools import islice

import numpy as np
import pytest

from simplexity import generative_processes as gp
from simplexity.generative_processes._mixed_states import as_generator, levels


def walk(process, num_levels, capacity):
    generator, state = as_generator(process.transition_matrices, process.normalizer, process.initial_state)
    return list(islice(levels(generator, state[None], capacity), num_levels))


@pytest.mark.parametrize(
    ("process", "counts"),
    [
        (gp.coin(0.3), [1, 1, 1, 1]),
        # Golden Mean: one token tells the state. Even: only a zero does, and two ones tell nothing.
        (gp.no_consecutive_ones(0.5), [1, 2, 2, 2]),
        (gp.even_ones(0.5), [1, 2, 3, 3]),
        # No two words leave mess3's observer with the same belief.
        (gp.mess3(0.05, 0.85), [1, 3, 9, 27]),
    ],
)
def test_words_with_one_future_are_taken_together(process, counts):
    walked = walk(process, 4, 1000)
    assert [level.num_vectors for level in walked] == counts
    assert sum(level.forgotten for level in walked) == 0


def test_the_capacity_is_kept_to_and_forgetting_shrinks_with_it():
    forgotten = []
    for capacity in (30, 120, 480):
        walked = walk(gp.mess3(0.05, 0.85), 12, capacity)
        assert max(level.num_vectors for level in walked[8:]) <= 1.5 * capacity
        forgotten.append(sum(level.forgotten for level in walked))
    # Second order: four times the vectors of a set of dimension 2 or less forget at most a quarter.
    assert forgotten[0] / 3 > forgotten[1] > 3 * forgotten[2] > 0


def test_a_predictive_vector_has_no_bound_on_what_is_forgotten():
    walked = walk(gp.tom_quantum(1.0, 7.0), 8, 30)
    assert walked[-1].forgotten == math.inf


def test_a_positive_presentation_is_found():
    hmm, scale = gp.mess3(0.1, 0.7), np.array([1.0, 0.5, 0.25])
    scaled = hmm.transition_matrices / scale * scale[:, None]
    generator, state = as_generator(scaled, scale, hmm.initial_state / scale)
    assert generator.is_hmm
    np.testing.assert_allclose(generator.transition_matrices, hmm.transition_matrices, atol=1e-15)
    np.testing.assert_allclose(state, hmm.initial_state, atol=1e-15)
    signed = gp.tom_quantum(1.0, 7.0)
    assert not as_generator(signed.transition_matrices, signed.normalizer, signed.initial_state)[0].is_hmm


def test_very_rare_words_do_no_harm():
    # 600 zeros in a row have the probability 1e-600, which float64 cannot hold.
    walked = walk(gp.sns(0.9, 0.9), 600, 1000)
    assert walked[-1].entropy == pytest.approx(walked[100].entropy, abs=1e-12)
