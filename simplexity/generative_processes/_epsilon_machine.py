"""The epsilon machine: a process's causal states, each of which is all pasts from which the same futures follow."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._presentation import IMPOSSIBLE, MixedStatePresentation, row_entropies


class EpsilonMachine(NamedTuple):
    """The minimal unifilar presentation of a stationary process: its causal states.

    References:
        Shalizi and Crutchfield, "Computational mechanics: pattern and prediction, structure and simplicity" (2001).
    """

    transition_matrices: Float[np.ndarray, "vocab from to"]
    stationary_distribution: Float[np.ndarray, " causal_states"]

    @property
    def num_states(self) -> int:
        return len(self.stationary_distribution)

    @property
    def statistical_complexity(self) -> float:
        """The entropy of the causal state, nats: how much of the past a perfect predictor keeps."""
        return float(row_entropies(self.stationary_distribution[None])[0])


def epsilon_machine(presentation: MixedStatePresentation) -> EpsilonMachine:
    """The causal states: recurrent mixed states, those taken together from which the same futures follow.

    Args:
        presentation: Closed, of an ergodic process.

    Raises:
        ValueError: If it is not closed.

    Example:
        >>> from simplexity.generative_processes import even_ones, mixed_state_presentation
        >>> machine = epsilon_machine(mixed_state_presentation(even_ones(0.5), depth=20))
        >>> machine.num_states, round(machine.statistical_complexity, 6)
        (2, 0.636514)
    """
    recurrent = np.flatnonzero(presentation.is_recurrent)
    number = np.full(len(presentation.states), IMPOSSIBLE)
    number[recurrent] = np.arange(len(recurrent))
    successors = presentation.successors[recurrent]
    successors = np.where(successors >= 0, number[successors], IMPOSSIBLE)
    probabilities = presentation.probabilities[recurrent]
    causal = _same_futures(probabilities, successors)
    num_causal, vocab_size = int(causal.max()) + 1, probabilities.shape[1]
    representatives = np.unique(causal, return_index=True)[1]
    matrices = np.zeros((vocab_size, num_causal, num_causal))
    for token in range(vocab_size):
        possible = np.flatnonzero(successors[representatives, token] >= 0)
        sources = representatives[possible]
        matrices[token, possible, causal[successors[sources, token]]] = probabilities[sources, token]
    stationary = np.bincount(causal, presentation.stationary_occupation()[recurrent], num_causal)
    return EpsilonMachine(matrices, stationary)


def _same_futures(
    probabilities: Float[np.ndarray, "n vocab"], successors: Int[np.ndarray, "n vocab"]
) -> Int[np.ndarray, " n"]:
    """Numbers for states such that two have the same one if and only if the same futures follow from both.

    States with other next-token probabilities differ; of the others, those whose successors differ; and so on (Moore's
    refinement of a partition).
    """
    classes = np.unique(np.round(probabilities, 9), axis=0, return_inverse=True)[1].ravel()
    while True:
        after = np.where(successors >= 0, classes[successors], IMPOSSIBLE)
        finer = np.unique(np.column_stack([classes, after]), axis=0, return_inverse=True)[1].ravel()
        if finer.max() == classes.max():
            return finer
        classes = finer
