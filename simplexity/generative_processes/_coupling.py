"""Chains of factors, and factors conditioned on each other, from variants and the maps that choose among them."""

import math
from collections.abc import Sequence

import numpy as np

from ._coupled_factors import CoupledFactors
from ._generative_process import GenerativeProcess
from ._matrix_process import MatrixProcess


def chain(variants: Sequence[Sequence[GenerativeProcess]], control_maps: Sequence[Sequence[int]]) -> CoupledFactors:
    """A chain of factors: the matrices of each are chosen by the token that the factor before it emits.

    Factor 1 emits a token `x_1` as it would alone. Factor `i` then uses the matrices of its variant
    `control_maps[i - 2][x_(i-1)]`, and emits `x_i`. The joint token is that of `product`: the first factor is the most
    significant. Factors may differ in size and kind, and need not have equally many variants.

    Given the tokens so far, the factors' states are independent, so each is filtered alone. While the joint matrices
    are small the optimum is that of the joint HMM or GHMM; else it is an estimate with an error (`myopic_entropies`).
    The stationary distribution of the first factor is its own; the others' has no closed form.

    Args:
        variants: For each factor its variants: HMMs or GHMMs of the same numbers of tokens and states. A factor begins
            in the initial state of its first variant. The first factor has one variant.
        control_maps: For each factor but the first: the number of its variant, from 0, for each token of the factor
            before it.

    Returns:
        The process. Its states are the factors' states one after another.

    Raises:
        ValueError: If the lists do not fit each other, or variants of one factor differ in size or normaliser.

    References:
        Shai et al., Transformers learn factored representations (2026), arXiv:2602.02385: chains of dependent factors;
        the factored processes of Simplex (fwh_core), structure "chain".
    """
    own = _checked_variants(variants)
    if len(own[0]) != 1:
        raise ValueError(f"`variants[0]` must have one entry, since nothing chooses for it, got {len(own[0])}")
    if len(control_maps) != len(own) - 1:
        raise ValueError(
            f"`control_maps` must have {len(own) - 1} entries, one per factor but the first, got {len(control_maps)}"
        )
    vocab_sizes = [factor[0].vocab_size for factor in own]
    digits = np.unravel_index(np.arange(math.prod(vocab_sizes)), vocab_sizes)
    choices = [np.zeros_like(digits[0])]
    for index, control_map in enumerate(control_maps):
        _check_control_map(index, control_map, vocab_sizes[index], len(own[index + 1]))
        choices.append(np.array(control_map)[digits[index]])
    return CoupledFactors(own, choices, chain=True)


def conditioned(
    variants: Sequence[Sequence[GenerativeProcess]], control_maps: Sequence[Sequence[int]]
) -> CoupledFactors:
    """Factors that depend on each other: the matrices of each are chosen by the tokens of all others.

    This is the product of experts of Simplex's factored processes, structure "symmetric" (fully conditional): from the
    factors' states, a joint token has the probability `prod_i P_i(x_i | state i, variant chosen by the others)` divided
    by the sum of these products over all joint tokens. After it, each factor's state is updated by the variant that was
    chosen. So the states are defined by the tokens so far; no joint hidden Markov model stands behind them, since the
    divisor depends on the states.

    The entropies are exact for the first tokens, and then means over drawn words with an error (`myopic_entropies`).
    A stationary distribution is not known in closed form.

    Args:
        variants: For each factor its variants: HMMs or GHMMs of the same numbers of tokens and states. A factor begins
            in the initial state of its first variant.
        control_maps: For each factor the number of its variant, from 0, for each joint token of the others (in the code
            of `product`: of the others, the first is the most significant).

    Returns:
        The process. Its states are the factors' states one after another.

    Raises:
        ValueError: If the lists do not fit each other, if variants of one factor differ in size or normaliser, or if
            they exclude all joint tokens in some state.

    References:
        Simplex's factored processes, structure "symmetric" of its fwh_core; Hinton, Training products of experts by
        minimizing contrastive divergence, Neural Computation 14 (2002) 1771.
    """
    own = _checked_variants(variants)
    if len(control_maps) != len(own):
        raise ValueError(f"`control_maps` must have {len(own)} entries, one per factor, got {len(control_maps)}")
    vocab_sizes = [factor[0].vocab_size for factor in own]
    digits = np.unravel_index(np.arange(math.prod(vocab_sizes)), vocab_sizes)
    choices = []
    for index, control_map in enumerate(control_maps):
        others = [size for place, size in enumerate(vocab_sizes) if place != index]
        _check_control_map(index, control_map, math.prod(others), len(own[index]))
        code = np.zeros_like(digits[0])
        for place, size in enumerate(vocab_sizes):
            if place != index:
                code = code * size + digits[place]
        choices.append(np.array(control_map)[code])
    return CoupledFactors(own, choices, chain=False)


def _checked_variants(variants: Sequence[Sequence[GenerativeProcess]]) -> list[list[MatrixProcess]]:
    if len(variants) < 2:
        raise ValueError(f"`variants` must have at least 2 entries, one per factor, got {len(variants)}")
    checked = []
    for index, own in enumerate(variants):
        matrices = [variant.as_matrices() for variant in own]
        small = [variant for variant in matrices if variant is not None]
        if not small or len(small) < len(matrices):
            raise ValueError(f"`variants[{index}]` must be HMMs, GHMMs or composites of small matrices, at least one")
        first = small[0]
        for variant in small[1:]:
            if (variant.vocab_size, variant.num_states) != (first.vocab_size, first.num_states):
                raise ValueError(
                    f"`variants[{index}]` must have the same numbers of tokens and states, got {first.vocab_size} "
                    f"tokens with {first.num_states} states, and {variant.vocab_size} with {variant.num_states}"
                )
            if not np.allclose(variant.normalizer, first.normalizer):
                raise ValueError(f"`variants[{index}]` must have the same normalizer, as all HMMs have")
        checked.append(small)
    return checked


def _check_control_map(index: int, control_map: Sequence[int], num_tokens: int, num_variants: int) -> None:
    if len(control_map) != num_tokens:
        raise ValueError(
            f"`control_maps[{index}]` must have {num_tokens} entries, one per choosing token, got {len(control_map)}"
        )
    if not all(0 <= choice < num_variants for choice in control_map):
        raise ValueError(
            f"`control_maps[{index}]` must have numbers of variants from 0 to {num_variants - 1}, "
            f"got {list(control_map)}"
        )
