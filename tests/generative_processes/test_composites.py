"""Composites of several processes, against the same processes written out as one by brute force."""

import itertools
from typing import NamedTuple

import jax
import numpy as np
import pytest

from simplexity import generative_processes as gp
from tests import oracles

LENGTH = 3


class Composite(NamedTuple):
    process: gp.GenerativeProcess
    tables: tuple  # of the whole, by Kronecker products
    normalizers: list  # of the factors


def _alone(process):
    tables = (process.transition_matrices, process.initial_state, process.normalizer)
    return Composite(process, tables, [process.normalizer])


def _beside(*parts):
    """A product of composites."""
    vocab_sizes = [len(part.tables[0]) for part in parts]
    digits = np.unravel_index(range(np.prod(vocab_sizes)), vocab_sizes)
    joint = oracles.joint_tables(
        [(matrices, own, *others) for own, (matrices, *others) in zip(digits, (p.tables for p in parts), strict=True)]
    )
    normalizers = [normalizer for part in parts for normalizer in part.normalizers]
    return Composite(gp.product([part.process for part in parts]), joint, normalizers)


def _product(*factors):
    return _beside(*map(_alone, factors))


def _chain(first, variants, control_map):
    """A chain of two, its second factor's matrices chosen by the first one's token."""
    tokens = list(itertools.product(range(first.vocab_size), range(variants[0].vocab_size)))
    matrices = np.concatenate([variant.transition_matrices for variant in variants])
    labels = [control_map[token] * variants[0].vocab_size + own for token, own in tokens]
    tables = oracles.joint_tables(
        [
            (first.transition_matrices, [token for token, _ in tokens], first.initial_state, first.normalizer),
            (matrices, labels, variants[0].initial_state, variants[0].normalizer),
        ]
    )
    return Composite(gp.chain([[first], variants], [control_map]), tables, [first.normalizer, variants[0].normalizer])


def _disturbed(matrices, epsilon):
    return (1 - epsilon) * matrices + epsilon * matrices.sum(axis=0) / len(matrices)


def _noisy(*factors, epsilon):
    """A product with noise on its joint token."""
    composite = _product(*factors)
    matrices, *others = composite.tables
    tables = (_disturbed(matrices, epsilon), *others)
    return Composite(gp.noisy(composite.process, epsilon), tables, composite.normalizers)


def _noisy_by_factor(*factors, epsilon):
    """A product with noise on each factor's own token."""
    disturbed = [gp.HMM(_disturbed(own.transition_matrices, epsilon), own.initial_state) for own in factors]
    process = gp.noisy(gp.product(factors), epsilon, level="factor")
    return _product(*disturbed)._replace(process=process)


def _inflated(process, num_synonyms):
    matrices = np.repeat(process.transition_matrices, num_synonyms, axis=0) / num_synonyms
    tables = (matrices, process.initial_state, process.normalizer)
    return Composite(gp.inflated(process, num_synonyms), tables, [process.normalizer, np.ones(1)])


def _pair():
    return _chain(gp.even_ones(0.4), [gp.coin(0.3), gp.coin(0.8)], [1, 0])


def _mixture(word, vocab_maps, *parts):
    """One of two composites, with the probabilities 1/4 and 3/4."""
    weights, sizes = (0.25, 0.75), [len(part.tables[1]) for part in parts]
    matrices = np.zeros((1 + max(map(max, vocab_maps)), sum(sizes), sum(sizes)))
    for part, vocab_map, block in zip(parts, vocab_maps, (slice(sizes[0]), slice(sizes[0], None)), strict=True):
        matrices[vocab_map, block, block] = part.tables[0]
    state = np.concatenate([weight * part.tables[1] for weight, part in zip(weights, parts, strict=True)])
    normalizer = np.concatenate([part.tables[2] for part in parts])
    process = gp.nonergodic([part.process for part in parts], weights, word)
    return Composite(process, (matrices, state, normalizer), [normalizer])


MAKERS = {
    "product": lambda: _product(gp.tom_quantum(1.0, 3.0), gp.coin(0.3), gp.no_consecutive_ones(0.5)),
    "chain": lambda: _chain(gp.even_ones(0.4), [gp.mess3(0.15, 0.6), gp.mess3(0.05, 0.85)], [1, 0]),
    "quantum chain": lambda: _chain(
        gp.coin(0.3), [gp.tom_quantum(1.0, 3.0), gp.tom_quantum(1.0, 1.5), gp.tom_quantum(1.0, 7.0)], [2, 1]
    ),
    "noisy": lambda: _noisy(gp.coin(0.3), gp.tom_quantum(1.0, 3.0), gp.even_ones(0.4), epsilon=0.3),
    "noisy by factor": lambda: _noisy_by_factor(gp.even_ones(0.4), gp.mess3(0.15, 0.6), epsilon=0.2),
    "inflated": lambda: _inflated(gp.tom_quantum(1.0, 3.0), 3),
    "composites in a product": lambda: _beside(
        _pair(),
        _inflated(gp.no_consecutive_ones(0.3), 2),
        _alone(gp.frozen(gp.coin(0.5), 4, 0)),
    ),
    "mixture, shared": lambda: _mixture(
        "shared", [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3]], _product(gp.mess3(0.15, 0.6), gp.coin(0.3)), _pair()
    ),
    "mixture, disjoint": lambda: _mixture("disjoint", [[0, 1], [2, 3, 4, 5]], _alone(gp.even_ones(0.4)), _pair()),
    "mixture, prefix": lambda: _mixture(
        "prefix", [[0, 1, 2, 3], [0, 1, 2, 4]], _alone(gp.tom_quantum(1.0, 3.0)), _pair()
    ),
}


@pytest.fixture(params=MAKERS, scope="module")
def composite(request):
    return MAKERS[request.param]()


@pytest.fixture(scope="module")
def drawn(composite):
    process = composite.process

    @jax.jit
    def draw(key):
        start_key, first_key, second_key = jax.random.split(key, 3)
        state, first = process.sample(process.initial_sampling_state(20_000, key=start_key), 1, key=first_key)
        # The second call continues the sequences of the first one.
        _, rest = process.sample(state, 1, key=second_key)
        words = jax.numpy.concatenate([first, rest], axis=1)
        beliefs = jax.vmap(process.filter)(words[:4])
        probabilities = jax.vmap(jax.vmap(process.observation_probabilities))(beliefs)
        return words, beliefs, probabilities, jax.vmap(process.word_probability)(words[:4])

    return jax.tree.map(np.asarray, draw(jax.random.key(1)))


@pytest.mark.slow
def test_samples_have_the_word_probabilities(composite, drawn):
    words = drawn[0]
    counts = np.zeros((composite.process.vocab_size,) * words.shape[1])
    np.add.at(counts, tuple(words.T), 1)
    probabilities = oracles.word_probabilities(*composite.tables, words.shape[1])
    assert counts[probabilities < 1e-9].sum() == 0
    statistic, freedom = oracles.chi_square(counts, probabilities)
    assert statistic < freedom + 5 * np.sqrt(2 * freedom)


def test_compiled_predictions_and_word_probabilities(composite, drawn):
    words, beliefs, probabilities, word_probabilities = drawn
    matrices, _, normalizer = composite.tables
    for word, states, predicted, probability in zip(words, beliefs, probabilities, word_probabilities, strict=False):
        np.testing.assert_allclose(states[0], composite.process.initial_state, atol=1e-6)
        mass = oracles.word_probability(*composite.tables, word)
        assert probability == pytest.approx(mass, rel=1e-4)
        for length in range(len(word) + 1):
            state = _state(composite.tables, word[:length])
            np.testing.assert_allclose(predicted[length], matrices @ normalizer @ state, atol=1e-5)


def test_predictions_and_beliefs_on_the_host(composite):
    process, (matrices, _, normalizer) = composite.process, composite.tables
    word = oracles.draw_word(*composite.tables, 6, np.random.default_rng(0))
    state = process.initial_state
    for length in range(len(word) + 1):
        joint = _state(composite.tables, word[:length])
        np.testing.assert_allclose(process.token_probabilities(state), matrices @ normalizer @ joint, atol=1e-12)
        np.testing.assert_allclose(process.joint_beliefs(state), joint, atol=1e-12)
        marginals = oracles.marginals(joint, composite.normalizers)
        for belief, marginal in zip(process.factor_beliefs(state), marginals, strict=True):
            np.testing.assert_allclose(belief, marginal, atol=1e-12)
        if length < len(word):
            state = process.successors(state[None], word[length : length + 1])[0]


def test_entropies(composite):
    expected = oracles.myopic_entropies(*composite.tables, LENGTH if len(composite.tables[0]) < 10 else 2)
    found = gp.myopic_entropies(composite.process, len(expected))
    for estimate, truth in zip(found, expected, strict=True):
        assert abs(estimate.value - truth) <= estimate.error + 1e-12
    generator = gp.DataGenerator(composite.process, "auto", None)
    optimum = gp.loss_optimum(generator, len(expected))
    assert abs(optimum.nats - expected.mean()) <= optimum.error_nats + 1e-12


def test_as_matrices(composite):
    matrices = composite.process.as_matrices()
    for found, expected in zip((matrices.transition_matrices, matrices.initial_state), composite.tables, strict=False):
        np.testing.assert_allclose(found, expected, atol=1e-12)


def _state(tables, word):
    matrices, state, normalizer = tables
    for token in word:
        state = state @ matrices[token]
    return state / (state @ normalizer)
