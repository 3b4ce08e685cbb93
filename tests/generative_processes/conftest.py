"""The named processes and mixtures that every invariant is checked on."""

from typing import NamedTuple

import jax
import numpy as np
import pytest

from simplexity import generative_processes as gp
from tests import oracles

MAKERS = {
    "coin": lambda: gp.coin(0.3),
    "days_of_week": lambda: gp.days_of_week(),
    "even_ones": lambda: gp.even_ones(0.5),
    "no_consecutive_ones": lambda: gp.no_consecutive_ones(0.4),
    "zero_one_random": lambda: gp.zero_one_random(0.5),
    "rip": lambda: gp.rip(0.4, 0.3),
    "nemo": lambda: gp.nemo(0.4, 0.3),
    "rrxor": lambda: gp.rrxor(0.5, 0.4),
    "leaky_rrxor": lambda: gp.leaky_rrxor(0.5, 0.4, 0.1),
    "mess3": lambda: gp.mess3(0.05, 0.85),
    "sns": lambda: gp.sns(0.5, 0.25),
    "mr_name": lambda: gp.mr_name(0.4, 0.25),
    "matching_parens": lambda: gp.matching_parens([1.0, 0.5, 0.3]),
    "fanizza": lambda: gp.fanizza(2000.0, 0.49),
    "post_quantum": lambda: gp.post_quantum(1.0, 0.5),
    "tom_quantum": lambda: gp.tom_quantum(1.0, 7.0),
    "mess": lambda: gp.mess(4, 0.1, 0.7),
    "cycle": lambda: gp.cycle(3),
    "checksum": lambda: gp.checksum([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]),
    "frozen": lambda: gp.frozen(gp.mess3(0.15, 0.6), 6, 3),
    "bloch_walk": lambda: gp.bloch_walk(1.0, 0.3),
    "quantum_rrxor": lambda: gp.quantum_rrxor(0.7, 1.1),
    "hmm_mixture": lambda: gp.nonergodic([gp.coin(0.1), gp.even_ones(0.5)], [0.3, 0.7], [[0, 1], [2, 1]]),
    "ghmm_mixture": lambda: gp.nonergodic([gp.coin(0.1), gp.post_quantum(1.0, 0.5)], [0.5, 0.5], [[0, 1], [0, 1, 2]]),
}


@pytest.fixture(params=MAKERS, scope="session")
def process(request):
    return MAKERS[request.param]()


class Drawn(NamedTuple):
    """What a process drew and said of it, from one compiled program."""

    words: np.ndarray  # many, of a few tokens
    beliefs: np.ndarray  # along the first three of them
    probabilities: np.ndarray  # of those three
    long_word: np.ndarray
    log_probability: np.ndarray


@pytest.fixture(scope="session")
def drawn(process):
    @jax.jit
    def draw(key, long_word):
        initial_key, key = jax.random.split(key)
        state = process.initial_sampling_state(20_000, key=initial_key)
        _, words = process.sample(state, 3 if process.vocab_size < 5 else 2, key=key)
        beliefs = jax.vmap(process.filter)(words[:3])
        probabilities = jax.vmap(process.word_probability)(words[:3])
        return Drawn(words, beliefs, probabilities, long_word, process.log_word_probability(long_word))

    tables = process.transition_matrices, process.initial_state, process.normalizer
    long_word = oracles.draw_word(*tables, 4000, np.random.default_rng(0))
    return jax.tree.map(np.asarray, draw(jax.random.key(7), long_word))
