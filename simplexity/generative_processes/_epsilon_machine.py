"""The epsilon machine: a process's causal states, each of which is all pasts from which the same futures follow."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._components import components
from ._generative_process import GenerativeProcess
from ._hmm import HMM
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
        """The number of causal states."""
        return len(self.stationary_distribution)

    @property
    def statistical_complexity(self) -> float:
        """The entropy of the causal state, nats: how much of the past a perfect predictor keeps."""
        return float(row_entropies(self.stationary_distribution[None])[0])

    def excess_entropy(self) -> float | None:
        """The information that the past has of the future, nats, where the process read backwards is unifilar too.

        Then each causal state has one predecessor by each token, and whoever reads all of the future from its end finds
        out the causal state now. So the past has the whole statistical complexity in common with the future.

        Returns:
            None where it is not unifilar backwards; `MixedStatePresentation.excess_entropy` may know it then.

        References:
            Crutchfield, Ellison and Mahoney, "Time's barbed arrow: irreversibility, crypticity, and stored
            information" (2009), arXiv:0902.1209: processes whose crypticity is zero.
        """
        is_unifilar_backwards = _is_unifilar(self.transition_matrices.transpose(0, 2, 1))
        return self.statistical_complexity if is_unifilar_backwards else None


def epsilon_machine(presentation: MixedStatePresentation) -> EpsilonMachine:
    """The causal states: recurrent belief states, those taken together from which the same futures follow.

    Of a closed presentation they are among its mixed states. A unifilar HMM has finitely many even if an observer
    needs endlessly many mixed states on the way to them: whoever knew the hidden state once, knows it ever after, so
    its causal states are its recurrent hidden states.

    Args:
        presentation: Of an ergodic process; closed, or of a unifilar HMM or a composite with such matrices.

    Raises:
        ValueError: If it is neither.

    References:
        Travers and Crutchfield, "Equivalence of history and generator epsilon-machines" (2011), arXiv:1111.4500.

    Example:
        >>> from simplexity.generative_processes import even_ones, mixed_state_presentation
        >>> machine = epsilon_machine(mixed_state_presentation(even_ones(0.5), depth=20))
        >>> machine.num_states, round(machine.statistical_complexity, 6)
        (2, 0.636514)
    """
    if not presentation.is_closed and (hmm := _recurrent_unifilar_part(presentation.process)) is not None:
        return _merged(*_next_tokens(hmm.transition_matrices), hmm.stationary_state)
    recurrent = np.flatnonzero(presentation.is_recurrent)
    number = np.full(len(presentation.states), IMPOSSIBLE)
    number[recurrent] = np.arange(len(recurrent))
    successors = presentation.successors[recurrent]
    successors = np.where(successors >= 0, number[successors], IMPOSSIBLE)
    return _merged(presentation.probabilities[recurrent], successors, presentation.stationary_occupation()[recurrent])


def _recurrent_unifilar_part(process: GenerativeProcess) -> HMM | None:
    """The recurrent hidden states of an ergodic process, if it is a unifilar HMM there."""
    matrices = process.as_matrices()
    if not isinstance(matrices, HMM):
        return None
    parts = components(matrices, matrices.stationary_state)
    if len(parts) != 1:
        return None
    recurrent = parts[0].states
    inner = matrices.transition_matrices[:, recurrent][:, :, recurrent]
    return HMM(inner, matrices.stationary_state[recurrent]) if _is_unifilar(inner) else None


def _is_unifilar(matrices: Float[np.ndarray, "vocab from to"]) -> bool:
    return bool((np.count_nonzero(matrices, axis=2) <= 1).all())


def _next_tokens(
    matrices: Float[np.ndarray, "vocab from to"],
) -> tuple[Float[np.ndarray, "n vocab"], Int[np.ndarray, "n vocab"]]:
    """Each state's token probabilities, and its successor by each token, of unifilar matrices."""
    probabilities = matrices.sum(axis=2).T
    return probabilities, np.where(probabilities > 0, matrices.argmax(axis=2).T, IMPOSSIBLE)


def _merged(
    probabilities: Float[np.ndarray, "n vocab"],
    successors: Int[np.ndarray, "n vocab"],
    stationary: Float[np.ndarray, " n"],
) -> EpsilonMachine:
    """The states, those taken together from which the same futures follow."""
    causal = _same_futures(probabilities, successors)
    num_causal, vocab_size = int(causal.max()) + 1, probabilities.shape[1]
    representatives = np.unique(causal, return_index=True)[1]
    matrices = np.zeros((vocab_size, num_causal, num_causal))
    for token in range(vocab_size):
        possible = np.flatnonzero(successors[representatives, token] >= 0)
        sources = representatives[possible]
        matrices[token, possible, causal[successors[sources, token]]] = probabilities[sources, token]
    return EpsilonMachine(matrices, np.bincount(causal, stationary, num_causal))


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
