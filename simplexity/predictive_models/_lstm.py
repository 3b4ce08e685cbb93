"""The long short-term memory."""

from typing import ClassVar

import jax.numpy as jnp

from ._cell import Blocks, DifferentiatedCell, Gates, State, computed_once, sigmoid
from ._recurrent_model import RecurrentModel


class _LSTMCell(DifferentiatedCell):
    """Gates i (input), f (forget), g (candidate) and o (output), in this order; the state is h and the memory c."""

    num_gates: ClassVar[int] = 4
    num_states: ClassVar[int] = 2
    # Measured on a CPU: unlike a GRU's, its sigmoid gates take longer in a shared block.
    num_joined_gates: ClassVar[int] = 1
    num_nonadditive_gates: ClassVar[int] = 0

    def step_and_save(self, inputs: Blocks, recurrent: Blocks, state: State) -> tuple[State, Blocks]:
        _, c = state
        i, f, g, o = (u + v for u, v in zip(inputs, recurrent, strict=True))
        i, f, g, o = sigmoid(i), sigmoid(f), jnp.tanh(g), sigmoid(o)
        c = f * c + i * g
        return (o * jnp.tanh(c), c), (i, f, g, o)

    def pull_back(
        self, saved: Blocks, nonadditive: Blocks, before: State, cotangent: State
    ) -> tuple[Gates, Gates, State]:
        _, c = before
        dh, dc = cotangent
        i, f, g, o = saved
        tanh_c = jnp.tanh(f * c + i * g)
        dc = computed_once(dc + dh * o * (1 - tanh_c * tanh_c))
        di = dc * g * i * (1 - i)
        df = dc * c * f * (1 - f)
        dg = dc * i * (1 - g * g)
        do = dh * tanh_c * o * (1 - o)
        return (di, df, dg, do), (), (jnp.zeros_like(dh), dc * f)


class LSTM(RecurrentModel):
    r"""Layers of long short-term memories, and a linear head.

        i_t = σ(W_i x_t + b_i + R_i h_{t-1} + c_i)
        f_t = σ(W_f x_t + b_f + R_f h_{t-1} + c_f)
        g_t = tanh(W_g x_t + b_g + R_g h_{t-1} + c_g)
        o_t = σ(W_o x_t + b_o + R_o h_{t-1} + c_o)
        m_t = f_t ∘ m_{t-1} + i_t ∘ g_t,    h_t = o_t ∘ tanh(m_t),    h_0 = m_0 = 0

    References:
        Hochreiter and Schmidhuber, "Long Short-Term Memory" (1997); the forget gate: Gers, Schmidhuber and Cummins,
        "Learning to Forget" (2000).
    """

    cell: ClassVar[DifferentiatedCell] = _LSTMCell()
