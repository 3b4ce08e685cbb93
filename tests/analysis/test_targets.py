"""Belief states of factors, of all jointly, and the component of a mixture, against planted activations."""

from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity import generative_processes as gp
from simplexity.analysis import regress_beliefs, words_of
from simplexity.analysis._targets import factor_overlaps, further_targets
from simplexity.predictive_models import PredictiveModel
from tests import oracles


class Carries(PredictiveModel):
    """Activations that are a linear function of the process's states after each token."""

    process: gp.GenerativeProcess
    directions: np.ndarray

    def forward(self, tokens):
        states = jax.vmap(self.process.filter)(tokens)[:, 1:]
        logits = jnp.zeros((*tokens.shape, self.process.vocab_size))
        return logits, OrderedDict(layer=states @ self.directions)


@pytest.fixture(scope="module")
def factored():
    process = gp.product([gp.mess3(0.15, 0.6), gp.even_ones(0.4)])
    # The first factor has directions of its own, and the second as well.
    return process, np.eye(process.num_states, 8)


def test_each_factor_and_all_jointly(factored):
    process, directions = factored
    found = regress_beliefs(Carries(process, directions), process, 4)
    assert list(found.targets) == ["factor_0", "factor_1", "joint"]
    r2 = {name: rows[0].regression.r2 for name, rows in found.targets.items()}
    assert r2["factor_0"] > 1 - 1e-9
    assert r2["factor_1"] > 1 - 1e-9
    # A product of two belief states is not linear in them.
    assert 0.5 < r2["joint"] < 0.999
    shuffled = {
        name: row.regression.r2 for name, rows in found.targets.items() for row in rows if row.kind == "shuffled"
    }
    assert max(shuffled.values()) < 0.05
    assert "joint: R2 0." in str(found)
    assert len(found.records("joint")) == len(found.records())


@pytest.mark.parametrize(("parts", "texts"), [
    ([gp.coin(0.3), gp.even_ones(0.4)], ["\nfactor_0: belief states never change", "\nfactor_1: R2 1.0000 from layer"]),
    ([gp.coin(0.3), gp.coin(0.4)], ["over words\nbelief states never change", "\njoint: belief states never change"]),
])  # fmt: skip
def test_belief_states_that_never_change_are_named_in_place_of_their_r2(parts, texts):
    process = gp.product(parts)
    printed = str(regress_beliefs(Carries(process, np.eye(process.num_states, 8)), process, 3))
    assert all(text in printed for text in texts)
    assert "R2 nan" not in printed


def test_a_joint_belief_state_of_many_numbers_is_a_target_while_memory_allows():
    process = gp.product([gp.mess3(0.15, 0.6)] * 5)
    beliefs = np.tile(process.initial_state, (10, 1))
    np.testing.assert_allclose(further_targets(process, beliefs)["joint"], np.full((10, 243), 1 / 243))
    assert "joint" not in further_targets(process, np.broadcast_to(beliefs[0], (90_000, 15)))


@pytest.mark.parametrize(("shared", "expected"), [(False, 0.0), (True, 1.0)])
def test_overlaps_of_subspaces(factored, shared, expected):
    process, directions = factored
    words = words_of(process, 4)
    factors = process.factor_beliefs(words.beliefs)
    own = directions.copy()
    if shared:
        # What tells the second factor's two states apart lies among the directions of the first factor.
        own[3:] = [[1, -1, 0, 0, 0, 0, 0, 0], [-1, 1, 0, 0, 0, 0, 0, 0]]
    overlaps = factor_overlaps(words.beliefs @ own, factors, words.probabilities)
    np.testing.assert_allclose(np.diag(overlaps), 1.0)
    np.testing.assert_allclose(overlaps, overlaps.T)
    assert overlaps[0, 1] == pytest.approx(expected, abs=1e-6)


def test_the_component_of_a_mixture_against_bayes():
    parts = [gp.mess3(0.15, 0.6), gp.tom_quantum(1.0, 3.0)]
    process = gp.nonergodic(parts, [0.3, 0.7], "shared")
    words = words_of(process, 3)
    (name, posterior), *rest = further_targets(process, words.beliefs).items()
    assert (name, rest) == ("components", [])
    for row, position, length, found in zip(words.rows, words.positions, words.lengths, posterior, strict=True):
        word = tuple(words.sequences[row, position + 1 - length : position + 1])
        joint = [
            weight * oracles.word_probability(part.transition_matrices, part.initial_state, part.normalizer, word)
            if max(word) < part.vocab_size
            else 0.0
            for weight, part in zip([0.3, 0.7], parts, strict=True)
        ]
        np.testing.assert_allclose(found, np.array(joint) / sum(joint), atol=1e-9)


def test_what_is_neither_factored_nor_a_mixture_has_no_further_targets():
    process = gp.mess3(0.15, 0.6)
    assert further_targets(process, process.initial_state[None]) == {}
    assert gp.component_posterior(gp.product([process]), process.initial_state[None]) is None
