"""The least loss that any model can reach on a data generator's rows."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._components import is_ergodic
from ._data_generator import DataGenerator
from ._generative_process import GenerativeProcess
from ._long_run import long_run_state
from ._myopic_entropy import bounded_myopic_entropies
from ._product import Product

_NEVER_VISITED = 1e-14


class LossOptimum(NamedTuple):
    """The mean cross-entropy, in nats per target, of the best predictor of a row's targets.

    Where it comes from a walk, `nats` is an upper bound: the loss of a predictor that exists. It is the process's own,
    which forgets a little where `error_nats` is not zero. Where it comes from drawn words, the truth lies to either
    side of it. Excess losses are measured from `nats`.
    """

    nats: float
    error_nats: float
    """The truth differs from `nats` by no more than this; `myopic_entropies` says what is proven."""
    per_position: Float[np.ndarray, " sequence_len"]
    """The same for each target; their mean is `nats`."""


def loss_optimum(generator: DataGenerator, sequence_len: int, *, carry_state: bool = False) -> LossOptimum:
    """The best possible loss on rows of `sequence_len` inputs and as many targets.

    A row is `[BOS] + process tokens + [EOS]`, of the length `sequence_len + 1`, and its targets are all tokens but the
    first. After BOS every process token is a target; without BOS the first one is only context. EOS is always at the
    same position, so it costs nothing.

    Args:
        generator: The process and the special tokens.
        sequence_len: The number of targets.
        carry_state: Whether each row continues the row before it, whose tokens the model does not see; the optimum is
            then that of a row after many others. Otherwise each row begins at the process's initial state.

    Returns:
        The optimum in nats per target, with its error.

    Raises:
        ValueError: If `sequence_len` is below one, or if the optimum with `carry_state` is not known for the process.
    """
    if sequence_len < 1:
        raise ValueError(f"`sequence_len` must be at least 1, got {sequence_len}")
    has_bos, has_eos = generator.bos_token is not None, generator.eos_token is not None
    num_drawn = sequence_len + 1 - has_bos - has_eos
    process, start = _continued(generator.process, num_drawn) if carry_state else (generator.process, None)
    entropies = bounded_myopic_entropies(process, num_drawn, state=start)
    costs = entropies.values if has_bos else entropies.values[1:]
    per_position = np.append(costs, 0.0) if has_eos else costs
    return LossOptimum(
        nats=float(per_position.mean()),
        error_nats=entropies.total_error / sequence_len,
        per_position=per_position,
    )


def _continued(
    process: GenerativeProcess, num_drawn: int
) -> tuple[GenerativeProcess, Float[np.ndarray, " num_states"]]:
    """The process, and the state in which a row begins, on average over rows that continue each other.

    That is the stationary state, but for a process whose period has a common divisor with a row's length: there the
    rows begin at some of its phases only. The factors of an ergodic product have no common period; those of another one
    may always be in the same phase, which only their joint matrices know.
    """
    if isinstance(process, Product) and is_ergodic(process):
        factors, states = zip(*(_continued(factor, num_drawn) for factor in process.factors), strict=True)
        return Product(factors), np.concatenate(states)
    matrices = process.as_matrices()
    if matrices is None:
        raise ValueError(
            "`carry_state` must be false with this process: the optimum of rows that continue each other is known "
            "for HMMs, GHMMs, ergodic products of these, and composites of small matrices"
        )
    summed = matrices.transition_matrices.sum(axis=0)
    state = long_run_state(np.linalg.matrix_power(summed, num_drawn), matrices.initial_state)
    # Rounding leaves 1e-17 of either sign where a state is never visited.
    return matrices, np.where(np.abs(state) < _NEVER_VISITED, 0.0, state)
