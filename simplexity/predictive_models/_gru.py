"""The gated recurrent unit."""

from typing import ClassVar

import jax.numpy as jnp

from ._cell import Blocks, DifferentiatedCell, Gates, State, gates, sigmoid
from ._recurrent_model import RecurrentModel


class _GRUCell(DifferentiatedCell):
    """Gates r (reset), z (update) and n (candidate), in this order; the state is h."""

    num_gates: ClassVar[int] = 3
    num_states: ClassVar[int] = 1
    num_joined_gates: ClassVar[int] = 2
    num_nonadditive_gates: ClassVar[int] = 1

    def step_and_save(self, inputs: Blocks, recurrent: Blocks, state: State) -> tuple[State, Blocks]:
        (h,) = state
        r_and_z = tuple(sigmoid(u + v) for u, v in zip(inputs[:-1], recurrent[:-1], strict=True))
        r, z = gates(r_and_z, h.shape[-1])
        n = jnp.tanh(inputs[-1] + r * recurrent[-1])
        return (n + z * (h - n),), (*r_and_z, n)

    def pull_back(
        self, saved: Blocks, nonadditive: Blocks, before: State, cotangent: State
    ) -> tuple[Gates, Gates, State]:
        (recurrent_n,) = nonadditive
        (h,) = before
        (dh,) = cotangent
        r, z, n = gates(saved, h.shape[-1])
        # With σ' = σ (1 - σ) and tanh' = 1 - tanh².
        dn = dh * (1 - z) * (1 - n * n)
        dr = dn * recurrent_n * r * (1 - r)
        dz = dh * (h - n) * z * (1 - z)
        return (dr, dz, dn * r), (dn,), (dh * z,)


class GRU(RecurrentModel):
    r"""Layers of gated recurrent units, and a linear head.

        r_t = σ(W_r x_t + b_r + R_r h_{t-1} + c_r)
        z_t = σ(W_z x_t + b_z + R_z h_{t-1} + c_z)
        n_t = tanh(W_n x_t + b_n + r_t ∘ (R_n h_{t-1} + c_n))
        h_t = (1 - z_t) ∘ n_t + z_t ∘ h_{t-1},    h_0 = 0

    The reset gate acts after the product with R_n, as in cuDNN, `torch.nn.GRU` and `eqx.nn.GRUCell`.

    References:
        Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder" (2014), arXiv:1406.1078, section 2.3.
    """

    cell: ClassVar[DifferentiatedCell] = _GRUCell()
