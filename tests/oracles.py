"""Independent, brute-force answers to compare with: numpy only, nothing of simplexity, no care for speed."""

import functools
import itertools

import numpy as np


def words(vocab_size, length):
    """Every word of the given length, in lexical order."""
    return list(itertools.product(range(vocab_size), repeat=length))


def path_weights(transition_matrices, initial_state, word):
    """For every last hidden state, the sum over all paths of hidden states that emit the word and end there."""
    num_states = len(initial_state)
    weights = np.zeros(num_states)
    for path in itertools.product(range(num_states), repeat=len(word) + 1):
        probability = initial_state[path[0]]
        for token, here, there in zip(word, path, path[1:], strict=False):
            probability *= transition_matrices[token][here][there]
        weights[path[-1]] += probability
    return weights


def word_probability(transition_matrices, initial_state, normalizer, word):
    """The probability of a word as a product of matrices, in float64 and without any normalisation on the way."""
    return float(state_after(transition_matrices, initial_state, word) @ normalizer)


def state_after(transition_matrices, initial_state, word):
    """The row vector after a word, not normalised."""
    row = np.asarray(initial_state, dtype=np.float64)
    for token in word:
        row = row @ transition_matrices[token]
    return row


def continuations(transition_matrices, initial_state, normalizer, word):
    """The probability of a word and each token behind it."""
    row = state_after(transition_matrices, initial_state, word)
    return np.array([row @ matrix @ normalizer for matrix in transition_matrices])


def word_probabilities(transition_matrices, initial_state, normalizer, length):
    """The probability of every word of the given length, as an array with one axis per token."""
    vocab_size = len(transition_matrices)
    values = [
        word_probability(transition_matrices, initial_state, normalizer, word) for word in words(vocab_size, length)
    ]
    return np.array(values).reshape((vocab_size,) * length)


def log_word_probability(transition_matrices, initial_state, normalizer, word):
    """The log of `word_probability` in float64, with the row brought back to unit size after every token."""
    row, log_scale = np.asarray(initial_state, dtype=np.float64), 0.0
    for token in word:
        row = row @ transition_matrices[token]
        size = np.abs(row).max()
        row, log_scale = row / size, log_scale + np.log(size)
    return log_scale + float(np.log(row @ normalizer))


def draw_word(transition_matrices, initial_state, normalizer, length, rng):
    """One word, each token drawn by its probability given those before it."""
    row, word = np.asarray(initial_state, dtype=np.float64), []
    for _ in range(length):
        probabilities = np.clip(transition_matrices @ normalizer @ row, 0, None)
        word.append(rng.choice(len(probabilities), p=probabilities / probabilities.sum()))
        row = row @ transition_matrices[word[-1]]
        row = row / (row @ normalizer)
    return np.array(word)


def chi_square(counts, probabilities):
    """Pearson's statistic of counts, over the cells of positive probability, and its degrees of freedom."""
    counts, probabilities = np.ravel(counts), np.ravel(probabilities)
    possible = probabilities > 1e-9
    expected = counts.sum() * probabilities[possible]
    return float(((counts[possible] - expected) ** 2 / expected).sum()), int(possible.sum()) - 1


def entropy(probabilities):
    """Shannon's, in nats."""
    positive = np.ravel(probabilities)[np.ravel(probabilities) > 1e-15]
    return float(-(positive * np.log(positive)).sum())


def myopic_entropies(transition_matrices, initial_state, normalizer, length):
    """H(X_t | X_1 ... X_{t-1}) for t = 1..length, as differences of the entropies of all words."""
    joint = word_probabilities(transition_matrices, initial_state, normalizer, length)
    blocks = [entropy(joint.sum(axis=tuple(range(t, length)))) for t in range(length + 1)]
    return np.diff(blocks)


def myopic_entropies_from_known_states(transition_matrices, initial_state, length):
    """H(X_t | S_0, X_1 ... X_{t-1}) of an HMM for t = 1..length, S_0 being the hidden state before the first token."""
    ones = np.ones(len(initial_state))
    from_each = [myopic_entropies(transition_matrices, state, ones, length) for state in np.diag(ones)]
    return np.asarray(initial_state) @ np.array(from_each)


def choice_entropies(components, weights, length, num_words, rng):
    """H(C | X_1 ... X_t) of a mixture at t = 1 and t = length, by drawing words, with the standard error of the second.

    `components` are triples of transition matrices, initial state and normaliser, of one vocabulary.
    """
    choice = rng.choice(len(components), size=num_words, p=weights)
    states = [np.tile(initial_state, (num_words, 1)) for _, initial_state, _ in components]
    log_joint = np.tile(np.log(weights), (num_words, 1))
    entropies = []
    for _ in range(length):
        emitted = [
            np.clip(state @ (matrices @ normalizer).T, 0, None)
            for state, (matrices, _, normalizer) in zip(states, components, strict=True)
        ]
        cumulative = np.array(emitted)[choice, np.arange(num_words)].cumsum(axis=1)
        tokens = (cumulative[:, :-1] <= rng.random((num_words, 1)) * cumulative[:, -1:]).sum(axis=1)
        for index, (matrices, _, normalizer) in enumerate(components):
            log_joint[:, index] += np.log(np.maximum(emitted[index][np.arange(num_words), tokens], 1e-300))
            successors = np.einsum("wi,wij->wj", states[index], matrices[tokens])
            states[index] = successors / np.maximum(successors @ normalizer, 1e-300)[:, None]
        posterior = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
        entropies.append(-(posterior * np.log(np.where(posterior > 0, posterior, 1))).sum(axis=1))
    return entropies[0].mean(), entropies[-1].mean(), entropies[-1].std() / num_words**0.5


def joint_tables(factors):
    """The tables of several factors as one process, by Kronecker products, the first factor the most significant.

    `factors` are tuples: matrices by label, the label of each joint token, initial state, normaliser.
    """
    tokens = range(len(factors[0][1]))
    matrices = [
        functools.reduce(np.kron, [matrices[labels[token]] for matrices, labels, _, _ in factors]) for token in tokens
    ]
    states, normalizers = zip(*[(state, normalizer) for _, _, state, normalizer in factors], strict=True)
    return np.array(matrices), functools.reduce(np.kron, states), functools.reduce(np.kron, normalizers)


def marginals(joint, normalizers):
    """Each factor's own state, from a joint one and the factors' normalisers."""
    tensor = np.reshape(joint, [len(normalizer) for normalizer in normalizers])
    states = []
    for kept in range(len(normalizers)):
        state = np.moveaxis(tensor, kept, 0)
        for normalizer in [*normalizers[:kept], *normalizers[kept + 1 :]]:
            state = np.tensordot(state, normalizer, axes=(1, 0))
        states.append(state)
    return states


def product_of_experts(factors, word):
    """The distribution of the next joint token after a word, and each factor's state, of factors that choose matrices.

    `factors` are tuples: matrices by label, the label of each joint token, initial state, normaliser.
    """
    states = [state for _, _, state, _ in factors]
    for token in word:
        after = [
            state @ matrices[labels[token]] for state, (matrices, labels, _, _) in zip(states, factors, strict=True)
        ]
        states = [state / (state @ normalizer) for state, (_, _, _, normalizer) in zip(after, factors, strict=True)]
    weights = np.ones(len(factors[0][1]))
    for state, (matrices, labels, _, normalizer) in zip(states, factors, strict=True):
        weights *= [state @ matrices[label] @ normalizer for label in labels]
    return weights / weights.sum(), states
