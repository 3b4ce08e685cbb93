"""The least loss that any model can reach on a data generator's rows."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._data_generator import DataGenerator
from ._myopic_entropy import bounded_myopic_entropies


class LossOptimum(NamedTuple):
    """The mean cross-entropy, in nats per target, of the best predictor of a row's targets.

    Of an ergodic process `nats` is from above: the loss of a predictor that exists (the process's own, which forgets a
    little where `error_nats` is not zero). Excess losses are taken from it, because the truth is nearer to it than to
    `nats - error_nats`.
    """

    nats: float
    error_nats: float
    """The truth differs from `nats` by no more than this; `myopic_entropies` says what is proven."""
    per_position: Float[np.ndarray, " sequence_len"]
    """The same for each target; their mean is `nats`."""


def loss_optimum(generator: DataGenerator, sequence_len: int) -> LossOptimum:
    """The best possible loss on rows of `sequence_len` inputs and as many targets, each begun at the initial state.

    A row is `[BOS] + process tokens + [EOS]`, of the length `sequence_len + 1`, and its targets are all tokens but the
    first. Behind BOS every process token is a target; without it the first one is only context. EOS stands where it
    always stands and costs nothing.

    Args:
        generator: The process and the special tokens.
        sequence_len: The number of targets.

    Raises:
        ValueError: If `sequence_len` is below one.
    """
    if sequence_len < 1:
        raise ValueError(f"`sequence_len` must be at least 1, got {sequence_len}")
    has_bos, has_eos = generator.bos_token is not None, generator.eos_token is not None
    entropies = bounded_myopic_entropies(generator.process, sequence_len + 1 - has_bos - has_eos)
    costs = entropies.values if has_bos else entropies.values[1:]
    per_position = np.append(costs, 0.0) if has_eos else costs
    return LossOptimum(
        nats=float(per_position.mean()),
        error_nats=entropies.total_error / sequence_len,
        per_position=per_position,
    )
