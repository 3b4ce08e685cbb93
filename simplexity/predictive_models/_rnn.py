"""The Elman network."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._predictive_model import Activations, PredictiveModel
from ._recurrence import Cell, Gates, State
from ._recurrent_stack import RecurrentStack


class _ElmanCell(Cell):
    """One gate, the output itself; the state is h."""

    num_gates: ClassVar[int] = 1
    num_states: ClassVar[int] = 1

    def step(self, inputs: Gates, recurrent: Gates, state: State) -> tuple[State, Gates]:
        h = jnp.tanh(inputs[0] + recurrent[0])
        return (h,), (h,)

    def pull_back(self, saved: Gates, before: State, cotangent: State) -> tuple[Gates, Gates, State]:
        (h,) = saved
        (dh,) = cotangent
        return (dh * (1 - h * h),), (), (jnp.zeros_like(dh),)


class RNN(PredictiveModel):
    r"""Layers of Elman's recurrent network, and a linear head.

        h_t = tanh(W x_t + b + R h_{t-1} + c),    h_0 = 0

    References:
        Elman, "Finding Structure in Time" (1990).
    """

    stack: RecurrentStack

    def __init__(self, hidden_size: int, num_layers: int, *, vocab_size: int, key: PRNGKeyArray):
        """Draws the weights.

        Args:
            hidden_size: Units per layer, at least 1.
            num_layers: Layers, at least 1.
            vocab_size: Number of tokens.
            key: The random key of the weights.

        Raises:
            ValueError: If a size is below 1.
        """
        self.stack = RecurrentStack(_ElmanCell(), hidden_size, num_layers, vocab_size=vocab_size, key=key)

    def forward(self, tokens: Int[Array, "batch length"]) -> tuple[Float[Array, "batch length vocab"], Activations]:
        """The logits, and the outputs of the layers as layer_0, layer_1, ..."""
        return self.stack.forward(_ElmanCell(), tokens)
