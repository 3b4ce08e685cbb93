"""Processes that go round in phases: a cycle of tokens, and random tokens followed by their checksum."""

from collections.abc import Sequence

import numpy as np

from ._checks import ROW_SUM_TOLERANCE
from ._hmm import HMM


def cycle(length: int) -> HMM:
    """The tokens 0, 1, ..., `length - 1` in turn, over and over: only the first token is a surprise.

    The hidden state is the token that comes next. Uniform stationary distribution; entropy rate 0, excess entropy
    `log length` nats.

    Args:
        length: The period, at least 1.

    Raises:
        ValueError: If `length` is below 1.

    References:
        The periodic processes of Crutchfield and Feldman, Chaos 13 (2003) 25, arXiv:cond-mat/0102181, section V.
    """
    if length < 1:
        raise ValueError(f"`length` must be at least 1, got {length}")
    matrices = np.zeros((length, length, length))
    states = np.arange(length)
    matrices[states, states, (states + 1) % length] = 1
    return HMM(matrices, initial_state=np.full(length, 1 / length))


def checksum(probs: Sequence[Sequence[float]]) -> HMM:
    """Random tokens, one from each of several distributions in turn, then their sum modulo the number of tokens.

    The states are one before the first token, then, after each random token, one for each value that the sum may have.
    `rrxor(p1, p2)` is `checksum([[p1, 1 - p1], [p2, 1 - p2]])`, but for the order of the states. The process is
    unifilar. In the stationary distribution each of the `n + 1` phases of a round has the probability `1 / (n + 1)`,
    divided among the values by the distribution of the sum so far; the entropy rate is the sum of the distributions'
    entropies, divided by `n + 1`.

    Args:
        probs: `n` distributions of the same number of tokens, one per random token of a round.

    Raises:
        ValueError: If they are not distributions of the same number of tokens.

    References:
        A generalisation of the RRXOR process (Crutchfield and Feldman, arXiv:cond-mat/0102181) to more and other random
        tokens, without published parameters of its own.
    """
    if not probs or not probs[0] or len({len(row) for row in probs}) != 1:
        raise ValueError(f"`probs` must be rows of equal length, one per random token, got {[*map(list, probs)]}")
    for number, row in enumerate(probs):
        if min(row) < 0 or not abs(sum(row) - 1) <= ROW_SUM_TOLERANCE:
            raise ValueError(f"`probs[{number}]` must be probabilities that sum to 1, got {list(row)}")
    num_phases, vocab = len(probs), len(probs[0])
    num_states = 1 + num_phases * vocab
    matrices = np.zeros((vocab, num_states, num_states))
    initial = np.zeros(num_states)
    initial[0] = 1.0
    # Where a round may be, and what its sum may be then: a state that no sum leads to is never visited.
    occupied, visited = {0: (0, 1.0)}, initial.copy()
    for phase, row in enumerate(probs):
        following: dict[int, tuple[int, float]] = {}
        for state, (total, probability) in occupied.items():
            for token, share in enumerate(row):
                target_sum = (total + token) % vocab
                target = 1 + phase * vocab + target_sum
                matrices[token, state, target] = share
                following[target] = target_sum, following.get(target, (0, 0.0))[1] + probability * share
        occupied = following
        for state, (_, probability) in occupied.items():
            visited[state] = probability
    for state, (total, _) in occupied.items():
        matrices[total, state, 0] = 1
    return HMM(matrices, initial_state=visited / visited.sum())
