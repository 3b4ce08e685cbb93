"""Mixtures of components that have no small matrices: followed by the posterior over them, and each one's own state."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._factors import join_states, split_states
from ._generative_process import GenerativeProcess, States
from ._matrix_process import MatrixProcess

# A component with less probability than this, given the past, is excluded: float32 knows hardly smaller numbers.
_EXCLUDED = 1e-30


class Mixture(GenerativeProcess):
    """One of several components generates the whole of each sequence.

    A state holds the posterior distribution over components, and then the components' own states one after another,
    each times its component's posterior probability. So a component that the tokens exclude has only zeros.
    """

    components: tuple[GenerativeProcess, ...]
    weights: Float[np.ndarray, " components"]
    vocab_maps: tuple[Int[np.ndarray, " _"], ...]
    """Of each component: the shared token that each of its own becomes."""
    own_tokens: tuple[Int[np.ndarray, " vocab"], ...]
    """Of each component: its own token for each shared one; -1 where it has none."""
    initial_state: Float[np.ndarray, " num_states"]

    def __init__(
        self, components: Sequence[GenerativeProcess], weights: Sequence[float], vocab_maps: Sequence[Sequence[int]]
    ) -> None:
        """Takes what `nonergodic` has checked.

        Args:
            components: The processes.
            weights: Their probabilities.
            vocab_maps: Of each component: the shared token that each of its own becomes.
        """
        vocab_size = 1 + max(max(vocab_map) for vocab_map in vocab_maps)
        self.components, self.weights = tuple(components), np.array(weights, np.float64)
        self.vocab_maps = tuple(np.array(vocab_map) for vocab_map in vocab_maps)
        own_tokens = np.full((len(components), vocab_size), -1)
        for row, vocab_map in zip(own_tokens, vocab_maps, strict=True):
            row[list(vocab_map)] = np.arange(len(vocab_map))
        self.own_tokens = tuple(own_tokens)
        self.initial_state = self._joined(self.weights, [component.initial_state for component in components])

    @property
    def vocab_size(self) -> int:
        """The number of shared tokens."""
        return len(self.own_tokens[0])

    def token_probabilities(self, states: States) -> States:
        """The components' probabilities, weighted by the posterior."""
        posterior, parts = self.split(states)
        own = [
            _at(component.token_probabilities(part), tokens)
            for component, part, tokens in zip(self.components, parts, self.own_tokens, strict=True)
        ]
        return sum(posterior[..., index, None] * each for index, each in enumerate(own))  # pyright: ignore

    def successors(self, states: States, tokens: States) -> States:
        """The posterior by Bayes' rule, and the successors in the components that the token does not exclude."""
        posterior, parts = self.split(states)
        numpy_like: Any = np if isinstance(states, np.ndarray) else jnp
        likelihoods, after = [], []
        for component, part, own_tokens in zip(self.components, parts, self.own_tokens, strict=True):
            own = numpy_like.maximum(numpy_like.asarray(own_tokens)[tokens], 0)
            probabilities = _at(component.token_probabilities(part), own_tokens)
            likelihood = numpy_like.take_along_axis(probabilities, tokens[..., None], axis=-1)
            with np.errstate(invalid="ignore", divide="ignore"):
                # An array also of one token, for which NumPy's indexing returns a number.
                following = component.successors(part, numpy_like.asarray(own))
            after.append(numpy_like.where(likelihood > 0, following, part))
            likelihoods.append(likelihood)
        joint = posterior * numpy_like.concatenate(likelihoods, axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return self._joined(joint / joint.sum(axis=-1, keepdims=True), after)

    def factor_beliefs(self, states: States) -> tuple[States, ...]:
        """The states themselves: a mixture has components, and no factors."""
        return (states,)

    def joint_beliefs(self, states: States) -> States:
        """The states themselves."""
        return states

    def as_matrices(self) -> MatrixProcess | None:
        """None: a component has none."""
        return None

    def initial_sampling_state(self, batch_size: int, *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """The component of each sequence, and a sampling state of every component for it."""
        key, *keys = jax.random.split(key, 1 + len(self.components))
        chosen = jax.random.choice(key, len(self.components), (batch_size,), p=jnp.asarray(self.weights, jnp.float32))
        own = [
            component.initial_sampling_state(batch_size, key=key)
            for component, key in zip(self.components, keys, strict=True)
        ]
        return chosen, *own

    def sample(
        self, sampling_state: tuple[Any, ...], length: int, *, key: PRNGKeyArray
    ) -> tuple[tuple[Any, ...], Int[Array, "batch length"]]:
        """Draws tokens of all components, and keeps those of the component that each sequence has."""
        chosen, *own = sampling_state
        keys = jax.random.split(key, len(self.components))
        states, drawn = [], []
        for component, state, vocab_map, key in zip(self.components, own, self.vocab_maps, keys, strict=True):
            state, tokens = component.sample(state, length, key=key)
            states.append(state)
            drawn.append(jnp.asarray(vocab_map, jnp.int32)[tokens])
        return (chosen, *states), jnp.stack(drawn)[chosen, jnp.arange(len(chosen))]

    def posterior(self, states: States) -> States:
        """The probability of each component, (*rows, components), in a state."""
        return states[..., : len(self.components)]

    def split(self, states: States) -> tuple[States, list[States]]:
        """The posterior, and the components' own states; of an excluded component its initial state."""
        posterior = self.posterior(states)
        numpy_like: Any = np if isinstance(states, np.ndarray) else jnp
        sizes = [component.num_states for component in self.components]
        parts = []
        for index, part in enumerate(split_states(states[..., len(self.components) :], sizes)):
            weight = posterior[..., index, None]
            initial = numpy_like.asarray(self.components[index].initial_state, states.dtype)
            is_excluded = weight < _EXCLUDED
            parts.append(numpy_like.where(is_excluded, initial, part / numpy_like.where(is_excluded, 1.0, weight)))
        return posterior, parts

    def _joined(self, posterior: States, parts: Sequence[States]) -> States:
        return join_states([posterior, *(posterior[..., [index]] * part for index, part in enumerate(parts))])


def _at(probabilities: States, own_tokens: Int[np.ndarray | Array, " vocab"]) -> States:
    """A component's probabilities of the shared tokens; zero of those that it does not have."""
    # JAX's tables may be arguments of a program, whose values are not known.
    numpy_like: Any = np if isinstance(probabilities, np.ndarray) else jnp
    return probabilities[..., numpy_like.maximum(own_tokens, 0)] * (own_tokens >= 0)
