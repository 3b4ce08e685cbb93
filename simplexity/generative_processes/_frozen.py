"""Frozen factors: a process that is drawn once, so that every sequence has the same tokens of it."""

import numpy as np

from ._generative_process import GenerativeProcess
from ._hmm import HMM


def frozen(process: GenerativeProcess, length: int, seed: int) -> HMM:
    """One word of a process, drawn once from the seed, with which every sequence begins: a frozen factor.

    As a factor of `product`, or as a factor of `chain` or `conditioned` with one variant, it gives each sequence of
    every batch the same tokens, while the other factors are drawn afresh. Who knows the process knows the word: the
    factor adds nothing to the optimum, and its entropy rate is 0. It also shows whether a model's activations have a
    part for a factor of which there is nothing to infer.

    The hidden state is the position in the word, so its belief state has the entry 1 there. After `length` tokens the
    word begins again; the stationary distribution is uniform.

    Args:
        process: What the word is drawn from, from its initial state.
        length: The number of tokens of the word: at least those of a sequence, so that nothing is repeated.
        seed: The random seed of the word, at least 0; the run's own seed has no influence on it.

    Raises:
        ValueError: If `length` is below 1, or `seed` below 0.

    References:
        Simplex's factored processes, `IndependentFactoredGenerativeProcess` of github.com/Astera-org/simplexity: there
        only independent factors are frozen, by a random key of their own.
    """
    if length < 1:
        raise ValueError(f"`length` must be at least 1, got {length}")
    if seed < 0:
        raise ValueError(f"`seed` must be at least 0, got {seed}")
    # On the host in float64: on every machine the same word.
    uniforms = np.random.default_rng(seed).random(length)
    matrices = np.zeros((process.vocab_size, length, length))
    state = process.initial_state
    for position, uniform in enumerate(uniforms):
        cumulative = np.cumsum(process.token_probabilities(state))
        token = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
        matrices[token, position, (position + 1) % length] = 1.0
        state = process.successors(state, np.array(token))
    return HMM(matrices, initial_state=np.eye(length)[0])
