"""The components of a process: parts without transitions between them, one of which generates the whole sequence."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ._checks import check_words
from ._generative_process import GenerativeProcess
from ._ghmm import GHMM
from ._hmm import HMM
from ._matrix_process import MatrixProcess
from ._mixed_states import Generator, as_generator
from ._mixture import Mixture
from ._product import Product

# Rounding leaves less than this where the exact value is zero.
_NO_ENTRY = 1e-15
# A component with less probability than this has it only from rounding.
_NEVER_CHOSEN = 1e-14
# Eigenvalues agree with one another, or with one in magnitude, to this.
_SAME_PHASE = 1e-9


class Component(NamedTuple):
    """One ergodic or transient part of a process, as a process of its own."""

    weight: float
    """The probability that it is the one chosen."""
    states: Bool[np.ndarray, " num_states"]
    """Which states of the whole are its own."""
    generator: Generator
    state: Float[np.ndarray, " own_states"]


def components(process: MatrixProcess, state: Float[np.ndarray, " num_states"]) -> list[Component]:
    """The components that a process may be in, if it is in a given state.

    Args:
        process: A process of matrices.
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


def as_process(component: Component) -> MatrixProcess:
    """A component as an HMM or a GHMM."""
    matrices, normalizer, is_hmm = component.generator
    return HMM(matrices, component.state) if is_hmm else GHMM(matrices, component.state, normalizer)


def component_posterior(
    process: GenerativeProcess, states: Float[np.ndarray, "rows num_states"]
) -> Float[np.ndarray, "rows components"] | None:
    """The probability of each component of a mixture, given what an observer knows, in the order of their states.

    Args:
        process: The process.
        states: Normalised states: belief states or predictive vectors.

    Returns:
        A row per state; None of a process that has only one component, or no matrices of its own.

    Example:
        >>> from simplexity.generative_processes import coin, nonergodic
        >>> process = nonergodic([coin(0.5), coin(0.9)], [0.5, 0.5], "shared")
        >>> component_posterior(process, process.initial_state[None]).tolist()
        [[0.5, 0.5]]
    """
    if isinstance(process, Mixture):
        return process.posterior(states)
    if not isinstance(process, MatrixProcess):
        return None
    found = sorted(components(process, process.initial_state), key=lambda component: int(component.states.argmax()))
    if len(found) < 2:
        return None
    masses = [states[:, component.states] @ process.normalizer[component.states] for component in found]
    posterior = np.stack(masses, axis=1)
    return posterior / posterior.sum(axis=1, keepdims=True)


def _whole(process: MatrixProcess, state: Float[np.ndarray, " num_states"]) -> Component:
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
    """Whether an endless sequence is known to show all of the process, and not only one of several components.

    A product of ergodic factors is ergodic unless a period that two of them share fixes their relative phase. Then some
    eigenvalues of magnitude one, one of each factor and not all of them 1, have the product 1. What neither is a
    product nor has small matrices is not known to be ergodic.
    """
    if isinstance(process, Product):
        if not all(is_ergodic(factor) for factor in process.factors):
            return False
        phases = [0.0]
        for factor in process.factors:
            matrices = factor.as_matrices()
            assert matrices is not None, "an ergodic factor is known by its matrices"
            phases = [phase + own for phase in phases for own in _peripheral_phases(matrices)]
        return sum(abs(phase - round(phase)) < _SAME_PHASE for phase in phases) == 1
    matrices = process.as_matrices()
    return matrices is not None and len(components(matrices, matrices.stationary_state)) == 1


def _peripheral_phases(process: MatrixProcess) -> list[float]:
    """The eigenvalues of magnitude one of an ergodic process's summed matrices, as fractions of a turn.

    The eigenvalue 1 is a single one: others that rounding does not tell from it belong to slow changes.
    """
    eigenvalues = np.linalg.eigvals(process.transition_matrices.sum(axis=0))
    phases = np.angle(eigenvalues[np.abs(eigenvalues) > 1 - _SAME_PHASE]) / (2 * np.pi)
    return [0.0, *phases[np.abs(phases) > _SAME_PHASE].tolist()]
