"""Named processes beyond their default parameters: random ones, and those at the edges, against brute force."""

import numpy as np
import pytest

from simplexity import generative_processes as gp
from tests import oracles

DRAWN = {
    "coin": lambda draw: gp.coin(draw(0, 1)),
    "even_ones": lambda draw: gp.even_ones(draw(0.05, 0.95)),
    "no_consecutive_ones": lambda draw: gp.no_consecutive_ones(draw(0.05, 0.95)),
    "zero_one_random": lambda draw: gp.zero_one_random(draw(0, 1)),
    "rip": lambda draw: gp.rip(draw(0, 1), draw(0, 1)),
    "nemo": lambda draw: gp.nemo(draw(0, 1), draw(0, 1)),
    "rrxor": lambda draw: gp.rrxor(draw(0, 1), draw(0, 1)),
    "leaky_rrxor": lambda draw: gp.leaky_rrxor(draw(0, 1), draw(0, 1), draw(0, 1)),
    "mess3": lambda draw: gp.mess3(draw(0.01, 0.5), draw(0.01, 0.99)),
    "mess": lambda draw: gp.mess(4, draw(0.01, 0.3), draw(0.1, 0.9)),
    "sns": lambda draw: gp.sns(draw(0.05, 0.5), draw(0.05, 0.5)),
    "mr_name": lambda draw: gp.mr_name(draw(0.05, 0.5), draw(0.05, 0.5)),
    "matching_parens": lambda draw: gp.matching_parens([1.0, draw(0.1, 0.9), draw(0.1, 0.9)]),
    "checksum": lambda draw: gp.checksum([[p, 1 - p] for p in (draw(0, 1), draw(0, 1))]),
    "fanizza": lambda draw: gp.fanizza(draw(1, 3000), draw(0.1, 0.49)),
    "post_quantum": lambda draw: gp.post_quantum(draw(0.2, 1.5), draw(0.1, 0.9)),
    "tom_quantum": lambda draw: gp.tom_quantum(draw(0.2, 2), draw(0.2, 8)),
    "bloch_walk": lambda draw: gp.bloch_walk(draw(0.1, 3), draw(0.1, 0.9)),
    "quantum_rrxor": lambda draw: gp.quantum_rrxor(draw(0.1, 1.4), draw(0.1, 1.4)),
}
EDGES = [
    gp.coin(0.0),
    gp.zero_one_random(1.0),
    gp.rrxor(1.0, 0.0),
    gp.leaky_rrxor(0.5, 0.5, 1.0),
    gp.mess3(1 / 3, 0.9),  # all states are followed alike
    gp.mess3(0.2, 1.0),  # each state emits its own token alone
    gp.cycle(1),
]


def check(process):
    """Predictions and states after every short word, and the entropies, from products of matrices in float64."""
    tables = process.transition_matrices, process.initial_state, process.normalizer
    length = 5 if process.vocab_size == 2 else 4
    states, words = process.initial_state[None], [()]
    for _ in range(length):
        joint = np.array([oracles.continuations(*tables, word) for word in words])
        weights = np.array([oracles.word_probability(*tables, word) for word in words])
        expected = np.maximum(joint / weights[:, None], 0)
        np.testing.assert_allclose(process.token_probabilities(states), expected, atol=1e-9)
        rows, tokens = np.nonzero(joint > 1e-9)
        words = [(*words[row], int(token)) for row, token in zip(rows, tokens, strict=True)]
        states = process.successors(states[rows], tokens)
        vectors = np.array([oracles.state_after(*tables[:2], word) for word in words])
        # Dividing by the probability of a rare word loses as many digits as that has zeros.
        np.testing.assert_allclose(states, vectors / (vectors @ process.normalizer)[:, None], atol=1e-7)
    exact = oracles.myopic_entropies(*tables, length)
    for estimate, entropy in zip(gp.myopic_entropies(process, length), exact, strict=True):
        assert estimate.value == pytest.approx(entropy, abs=estimate.error + 1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", DRAWN)
def test_random_parameters(name, seed):
    check(DRAWN[name](np.random.default_rng(seed).uniform))


@pytest.mark.parametrize("process", EDGES, ids=lambda process: f"{process.num_states} states")
def test_edges(process):
    check(process)
