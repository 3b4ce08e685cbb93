"""Processes that begin in another state: the same matrices, with another initial state."""

from collections.abc import Sequence
from typing import TypeVar

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ._checks import check_distribution, check_state_length
from ._coupled_factors import CoupledFactors
from ._generative_process import GenerativeProcess
from ._ghmm import GHMM, normalized
from ._hmm import HMM
from ._noisy import NoisyProduct
from ._product import Product

Process = TypeVar("Process", bound=GenerativeProcess)


def with_initial_state(process: Process, initial_state: Sequence[float]) -> Process:
    """The same process, begun in a state of one's choice.

    Data, the optimum, words and belief states of the result all begin there; its stationary state and its entropy rate
    are those of the process, unless that is a mixture.

    Args:
        process: Any process.
        initial_state: Of an HMM: a distribution over its hidden states. Of a GHMM: a predictive vector, whose scale
            does not matter. Of a mixture: the components' states one after another, each times its component's weight.
            Of factors (`product`, `chain`, `conditioned`, a noisy product): the factors' states one after another.

    Raises:
        ValueError: If there is not one number per state, a distribution does not sum to one, or from there some short
            word would have a negative probability.

    Example:
        >>> from simplexity.generative_processes import mess3
        >>> with_initial_state(mess3(0.05, 0.85), [1.0, 0.0, 0.0]).initial_state.tolist()
        [1.0, 0.0, 0.0]
    """
    return _begun(process, np.array(initial_state, np.float64))  # pyright: ignore[reportReturnType]


def _begun(process: GenerativeProcess, state: Float[np.ndarray, " num_states"]) -> GenerativeProcess:
    match process:
        case HMM():
            return HMM(process.transition_matrices, state)
        case GHMM():
            return GHMM(process.transition_matrices, state, process.normalizer)
        case Product():
            parts = _parts(state, [factor.num_states for factor in process.factors])
            return Product([_begun(factor, part) for factor, part in zip(process.factors, parts, strict=True)])
        case NoisyProduct():
            base = _begun(process.base, state)
            assert isinstance(base, Product)
            matrices = [factor.as_matrices() for factor in base.factors]
            return NoisyProduct(base, [factor for factor in matrices if factor is not None], float(process.epsilon))
        case CoupledFactors():
            return _begun_factors(process, state)
    raise ValueError(f"`initial_state` cannot be set for a {type(process).__name__}")


def _begun_factors(process: CoupledFactors, state: Float[np.ndarray, " num_states"]) -> CoupledFactors:
    parts = _parts(state, [len(own) for own in process.initial_states])
    begun = []
    for part, matrices, normalizer in zip(parts, process.matrices, process.normalizers, strict=True):
        if (matrices >= 0).all() and (normalizer == 1).all():
            check_distribution(part)
        begun.append(normalized(part, normalizer))
    changed = eqx.tree_at(
        lambda whole: (whole.initial_states, whole.initial_state), process, (tuple(begun), np.concatenate(begun))
    )
    changed.check_possible()
    return changed


def _parts(state: Float[np.ndarray, " num_states"], sizes: Sequence[int]) -> list[Float[np.ndarray, " _"]]:
    """Each factor's part of a state that holds them one after another."""
    check_state_length(state, sum(sizes))
    return np.split(state, np.cumsum(sizes)[:-1])
