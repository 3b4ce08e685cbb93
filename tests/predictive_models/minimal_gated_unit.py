"""A recurrent model in one file, whose cell has only a step."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from simplexity.predictive_models import Cell, RecurrentModel, draw_layers

Arrays = tuple[jax.Array, ...]


class MinimalGatedCell(Cell):
    """Gates f (forget) and n (candidate); the state is h."""

    num_gates: ClassVar[int] = 2
    num_states: ClassVar[int] = 1

    def step(self, inputs: Arrays, recurrent: Arrays, state: Arrays) -> Arrays:
        (h,) = state
        f = jax.nn.sigmoid(inputs[0] + recurrent[0])
        n = jnp.tanh(inputs[1] + f * recurrent[1])
        return ((1 - f) * h + f * n,)


class MinimalGatedUnit(RecurrentModel):
    """Layers of minimal gated units.

    References:
        Zhou, Wu, Zhang and Zhou, "Minimal gated unit for recurrent neural networks" (2016), arXiv:1603.09420.
    """

    cell: ClassVar[Cell] = MinimalGatedCell()

    def __init__(self, hidden_size: int, num_layers: int, *, vocab_size: int, key: PRNGKeyArray):
        self.layers, self.head = draw_layers(self.cell, hidden_size, num_layers, vocab_size=vocab_size, key=key)
