"""The Elman network."""

from typing import ClassVar

import jax.numpy as jnp

from ._cell import Blocks, DifferentiatedCell, Gates, State
from ._recurrent_model import RecurrentModel


class _ElmanCell(DifferentiatedCell):
    """One gate, the output itself; the state is h."""

    num_gates: ClassVar[int] = 1
    num_states: ClassVar[int] = 1
    num_joined_gates: ClassVar[int] = 1
    num_nonadditive_gates: ClassVar[int] = 0

    def step_and_save(self, inputs: Blocks, recurrent: Blocks, state: State) -> tuple[State, Blocks]:
        h = jnp.tanh(inputs[0] + recurrent[0])
        return (h,), (h,)

    def pull_back(
        self, saved: Blocks, nonadditive: Blocks, before: State, cotangent: State
    ) -> tuple[Gates, Gates, State]:
        (h,) = saved
        (dh,) = cotangent
        return (dh * (1 - h * h),), (), (jnp.zeros_like(dh),)


class RNN(RecurrentModel):
    r"""Layers of Elman's recurrent network, and a linear head.

        h_t = tanh(W x_t + b + R h_{t-1} + c),    h_0 = 0

    References:
        Elman, "Finding Structure in Time" (1990).
    """

    cell: ClassVar[DifferentiatedCell] = _ElmanCell()
