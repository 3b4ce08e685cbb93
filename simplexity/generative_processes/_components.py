"""The components of a process: parts without transitions between them, one of which generates the whole sequence."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ._checks import check_words
from ._generative_process import GenerativeProcess
from ._mixed_states import Generator, as_generator

# Rounding leaves less than this where the exact value is zero.
_NO_ENTRY = 1e-15
# A component with less probability than this has it only from rounding.
_NEVER_CHOSEN = 1e-14


class Component(NamedTuple):
    """One ergodic or transient part of a process, as a process of its own."""

    weight: float
    """The probability that it is the one chosen."""
    states: Bool[np.ndarray, " num_states"]
    """Which states of the whole are its own."""
    generator: Generator
    state: Float[np.ndarray, " own_states"]


def components(process: GenerativeProcess, state: Float[np.ndarray, " num_states"]) -> list[Component]:
    """The components that a process may be in, if it is in a given state.

    Args:
        process: Any generative process.
        state: Its initial state, or its stationary one, which also separates components that share transient states.

    Returns:
        The components of positive weight. A GHMM whose blocks are no processes by themselves (only their weighted sum
        is one) is one component.
    """
    matrices, normalizer = process.transition_matrices, process.normalizer
    connected = np.abs(matrices).max(axis=0) > _NO_ENTRY
    if as_generator(matrices, normalizer, state)[0].is_hmm:
        visited = _reached(connected, state * normalizer > _NEVER_CHOSEN)
        connected &= visited[:, None] & visited
    found = []
    for block in _blocks(connected):
        weight = float(state[block] @ normalizer[block])
        if weight <= _NEVER_CHOSEN:
            if weight < -_NEVER_CHOSEN:
                return [_whole(process, state)]
            continue
        # A component may be an HMM although the whole is not, and may have fewer tokens.
        own_matrices = matrices[:, block][:, :, block]
        emitted = own_matrices.any(axis=(1, 2))
        own = as_generator(own_matrices[emitted], normalizer[block], state[block] / weight)
        found.append(Component(weight, block, *own))
    if len(found) > 1 and not all(_is_process(component) for component in found):
        return [_whole(process, state)]
    return found


def _whole(process: GenerativeProcess, state: Float[np.ndarray, " num_states"]) -> Component:
    everything = np.ones(process.num_states, dtype=bool)
    return Component(1.0, everything, *as_generator(process.transition_matrices, process.normalizer, state))


def _is_process(component: Component) -> bool:
    generator = component.generator
    if generator.is_hmm:
        return True
    try:
        check_words(generator.transition_matrices, component.state, generator.normalizer)
    except ValueError:
        return False
    return True


def _reached(connected: Bool[np.ndarray, "n n"], first: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """The first states, and all states that transitions lead to from them."""
    reached = first
    while True:
        further = reached | (reached @ connected)
        if (further == reached).all():
            return reached
        reached = further


def _blocks(connected: Bool[np.ndarray, "n n"]) -> list[Bool[np.ndarray, " n"]]:
    """The weakly connected sets of states, as masks."""
    reachable = connected | connected.T | np.eye(len(connected), dtype=bool)
    while True:
        # Paths twice as long: a matrix product of booleans.
        further = reachable @ reachable
        if (further == reachable).all():
            return list(np.unique(reachable, axis=0))
        reachable = further


def is_ergodic(process: GenerativeProcess) -> bool:
    """Whether an endless sequence shows all of the process, and not only one of several components."""
    return len(components(process, process.stationary_state)) == 1
