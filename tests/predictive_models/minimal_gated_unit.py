"""A recurrent model in one file, whose cell has only a step."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from simplexity.predictive_models import Cell, RecurrentModel

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
