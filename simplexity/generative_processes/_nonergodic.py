"""Non-ergodic mixtures: one process is chosen per sequence, and stays."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ._checks import ROW_SUM_TOLERANCE
from ._generative_process import GenerativeProcess
from ._ghmm import GHMM
from ._hmm import HMM


def nonergodic(
    components: Sequence[GenerativeProcess], weights: Sequence[float], vocab_maps: Sequence[Sequence[int]]
) -> HMM | GHMM:
    """A mixture of processes, one of which generates the whole of each sequence.

    Its matrices are block-diagonal, with the components' states one after another; the initial state is the components'
    initial states, weighted. Its stationary state is the weighted one of theirs, and its entropy rate the weighted mean
    of their entropy rates.

    Args:
        components: The processes.
        weights: The probability of each component, positive, summing to one.
        vocab_maps: For each component the shared token that each of its own tokens becomes. Components may share
            tokens; together they use all of 0, 1, ..., without a gap.

    Returns:
        An HMM if all components are HMMs, else a GHMM.

    Raises:
        ValueError: If the lists differ in length, or break the rules above.

    References:
        Crutchfield and Marzen, Signatures of infinity: nonergodicity and resource scaling in prediction, complexity,
        and learning, Phys. Rev. E 91 (2015) 050106(R), arXiv:1504.00386.
    """
    _check_weights(weights, len(components))
    _check_vocab_maps(vocab_maps, components)
    offsets = np.cumsum([0, *(component.num_states for component in components)])
    vocab_size = 1 + max(max(vocab_map) for vocab_map in vocab_maps)
    matrices = np.zeros((vocab_size, offsets[-1], offsets[-1]))
    for component, vocab_map, start, end in zip(components, vocab_maps, offsets, offsets[1:], strict=False):
        matrices[list(vocab_map), start:end, start:end] = component.transition_matrices
    initial_state = _concatenated(
        [weight * component.initial_state for weight, component in zip(weights, components, strict=True)]
    )
    if all(isinstance(component, HMM) for component in components):
        return HMM(matrices, initial_state)
    return GHMM(matrices, initial_state, _concatenated([component.normalizer for component in components]))


def _concatenated(vectors: Sequence[Float[np.ndarray, " _"]]) -> Float[np.ndarray, " num_states"]:
    return np.concatenate(vectors)


def _check_weights(weights: Sequence[float], num_components: int) -> None:
    if num_components == 0:
        raise ValueError("`components` must name at least one process, got none")
    if len(weights) != num_components:
        raise ValueError(f"`weights` must have {num_components} entries, one per component, got {len(weights)}")
    total = sum(weights)
    if not (min(weights) > 0 and abs(total - 1) <= ROW_SUM_TOLERANCE):
        raise ValueError(f"`weights` must be positive and sum to 1, got {list(weights)}, which sum to {total:.7g}")


def _check_vocab_maps(vocab_maps: Sequence[Sequence[int]], components: Sequence[GenerativeProcess]) -> None:
    if len(vocab_maps) != len(components):
        raise ValueError(f"`vocab_maps` must have {len(components)} entries, one per component, got {len(vocab_maps)}")
    for index, (vocab_map, component) in enumerate(zip(vocab_maps, components, strict=True)):
        tokens = list(vocab_map)
        if len(tokens) != component.vocab_size:
            raise ValueError(
                f"`vocab_maps[{index}]` must have {component.vocab_size} entries, one per token of its component, "
                f"got {tokens}"
            )
        if len(set(tokens)) != len(tokens) or min(tokens) < 0:
            raise ValueError(f"`vocab_maps[{index}]` must have distinct tokens from 0 on, got {tokens}")
    used = {token for vocab_map in vocab_maps for token in vocab_map}
    missing = sorted(set(range(max(used))) - used)
    if missing:
        raise ValueError(f"`vocab_maps` must use every token from 0 to {max(used)}, but none maps to {missing[0]}")
