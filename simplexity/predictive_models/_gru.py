"""The gated recurrent unit."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._predictive_model import Activations, PredictiveModel
from ._recurrence import Cell, Gates, State
from ._recurrent_stack import RecurrentStack
from ._sigmoid import sigmoid


class _GRUCell(Cell):
    """Gates r (reset), z (update) and n (candidate), in this order; the state is h."""

    num_gates: ClassVar[int] = 3
    num_states: ClassVar[int] = 1

    def step(self, inputs: Gates, recurrent: Gates, state: State) -> tuple[State, Gates]:
        (h,) = state
        r = sigmoid(inputs[0] + recurrent[0])
        z = sigmoid(inputs[1] + recurrent[1])
        n = jnp.tanh(inputs[2] + r * recurrent[2])
        return (n + z * (h - n),), (r, z, n, recurrent[2])

    def pull_back(self, saved: Gates, before: State, cotangent: State) -> tuple[Gates, Gates, State]:
        r, z, n, recurrent_n = saved
        (h,) = before
        (dh,) = cotangent
        # With σ' = σ (1 - σ) and tanh' = 1 - tanh².
        dn = dh * (1 - z) * (1 - n * n)
        dr = dn * recurrent_n * r * (1 - r)
        dz = dh * (h - n) * z * (1 - z)
        return (dr, dz, dn * r), (dn,), (dh * z,)


class GRU(PredictiveModel):
    r"""Layers of gated recurrent units, and a linear head.

        r_t = σ(W_r x_t + b_r + R_r h_{t-1} + c_r)
        z_t = σ(W_z x_t + b_z + R_z h_{t-1} + c_z)
        n_t = tanh(W_n x_t + b_n + r_t ∘ (R_n h_{t-1} + c_n))
        h_t = (1 - z_t) ∘ n_t + z_t ∘ h_{t-1},    h_0 = 0

    The reset gate acts after the product with R_n, as in cuDNN, `torch.nn.GRU` and `eqx.nn.GRUCell`.

    References:
        Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder" (2014), arXiv:1406.1078, section 2.3.
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
        self.stack = RecurrentStack(_GRUCell(), hidden_size, num_layers, vocab_size=vocab_size, key=key)

    def forward(self, tokens: Int[Array, "batch length"]) -> tuple[Float[Array, "batch length vocab"], Activations]:
        """The logits, and the outputs of the layers as layer_0, layer_1, ..."""
        return self.stack.forward(_GRUCell(), tokens)
