"""Non-ergodic mixtures: one process is chosen per sequence, and stays."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from jaxtyping import Float

from ._checks import ROW_SUM_TOLERANCE
from ._generative_process import GenerativeProcess
from ._ghmm import GHMM
from ._hmm import HMM
from ._mixture import Mixture


def nonergodic(
    components: Sequence[GenerativeProcess],
    weights: Sequence[float],
    vocab_maps: Sequence[Sequence[int]] | str,
) -> HMM | GHMM | Mixture:
    """A mixture of processes, one of which generates the whole of each sequence.

    Its matrices are block-diagonal, with the components' states one after another; the initial state is the components'
    initial states, weighted. Where a component is a composite without small matrices, a state holds the posterior over
    components before these, and how well the component is known is a mean over drawn words (`myopic_entropies`). The
    stationary state is the weighted one of the components', the entropy rate the weighted mean of their entropy rates.

    Args:
        components: The processes.
        weights: The probability of each component, positive, summing to one.
        vocab_maps: For each component the shared token that each of its own tokens becomes. Components may share
            tokens; together they use all of 0, 1, ..., without a gap. Or one word: "shared" (each token is itself),
            "disjoint" (no token is shared; the second component's follow the first's), "prefix" (each token is itself
            but the last of each component, which no other component has: they follow the shared ones, in order).

    Returns:
        An HMM if all components are HMMs or composites of HMMs with small matrices, a GHMM if some are GHMMs or of
        GHMMs, and a mixture of another kind if a component has no small matrices.

    Raises:
        ValueError: If the lists differ in length or break the rules above.

    References:
        Crutchfield and Marzen, Signatures of infinity: nonergodicity and resource scaling in prediction, complexity,
        and learning, Phys. Rev. E 91 (2015) 050106(R), arXiv:1504.00386.
    """
    _check_weights(weights, len(components))
    vocab_maps = _vocab_maps(vocab_maps, [component.vocab_size for component in components])
    _check_vocab_maps(vocab_maps, components)
    parts = [matrices for component in components if (matrices := component.as_matrices()) is not None]
    if len(parts) < len(components):
        return Mixture(components, weights, vocab_maps)
    offsets = np.cumsum([0, *(component.num_states for component in parts)])
    vocab_size = 1 + max(max(vocab_map) for vocab_map in vocab_maps)
    matrices = np.zeros((vocab_size, offsets[-1], offsets[-1]))
    for component, vocab_map, start, end in zip(parts, vocab_maps, offsets, offsets[1:], strict=False):
        matrices[list(vocab_map), start:end, start:end] = component.transition_matrices
    initial_state = _concatenated(
        [weight * component.initial_state for weight, component in zip(weights, parts, strict=True)]
    )
    if all(isinstance(component, HMM) for component in parts):
        return HMM(matrices, initial_state)
    return GHMM(matrices, initial_state, _concatenated([component.normalizer for component in parts]))


def _vocab_maps(vocab_maps: Sequence[Sequence[int]] | str, vocab_sizes: Sequence[int]) -> Sequence[Sequence[int]]:
    """The maps that a word stands for."""
    if not isinstance(vocab_maps, str):
        return vocab_maps
    match vocab_maps:
        case "shared":
            return [range(size) for size in vocab_sizes]
        case "disjoint":
            return [range(end - size, end) for size, end in zip(vocab_sizes, accumulate(vocab_sizes), strict=True)]
        case "prefix":
            first_own = max(vocab_sizes) - 1
            return [[*range(size - 1), first_own + index] for index, size in enumerate(vocab_sizes)]
    raise ValueError(f"`vocab_maps` must be lists, or one of shared, disjoint and prefix, got {vocab_maps!r}")


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
