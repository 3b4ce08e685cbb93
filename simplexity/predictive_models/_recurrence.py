r"""One recurrent layer over time, with a derivative that keeps the weights out of the loop.

A gated cell has the form

    u_t = x_t W + b,    v_t = h_{t-1} R + c,    s_t = cell(u_t, v_t, s_{t-1}),    h_t the first part of s_t,

where `cell` acts on each unit by itself. Only v_t needs the loop over time: all u_t are one product before it.
Differentiated as it stands, each step of the reverse loop would add its outer product h_{t-1}ᵀ dv_t to the gradient of
R. The reverse loop below only collects the cotangents dv_t; then

    dR = Σ_t h_{t-1}ᵀ dv_t,    dW = Σ_t x_tᵀ du_t,    dx_t = du_t Wᵀ

are one matrix product each, over all times and sequences at once.

Arrays are time-major, so that a step reads and writes contiguous memory. Each gate has an array of its own: XLA's CPU
compiler vectorises tanh over a whole array, but not over a slice of a slice of one.

References:
    Appleyard, Kočiský and Blunsom, "Optimizing Performance of Recurrent Neural Networks on GPUs" (2016),
    arXiv:1604.01946, sections 3.1 to 3.3.
"""

from abc import abstractmethod
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._linear import multiply, rows, uniform

Gates = tuple[Float[Array, "batch hidden"], ...]
State = tuple[Float[Array, "batch hidden"], ...]


class Cell(eqx.Module):
    """The elementwise part of a recurrent layer, and its derivative. It holds no arrays."""

    num_gates: eqx.AbstractClassVar[int]
    num_states: eqx.AbstractClassVar[int]

    @abstractmethod
    def step(self, inputs: Gates, recurrent: Gates, state: State) -> tuple[State, Gates]:
        """The next state, whose first part is the output, and what `pull_back` needs of this step."""

    @abstractmethod
    def pull_back(self, saved: Gates, before: State, cotangent: State) -> tuple[Gates, Gates, State]:
        """The transposed derivative of `step`.

        Args:
            saved: The second result of `step`.
            before: The state that `step` started from.
            cotangent: The cotangent of the state that it returned.

        Returns:
            The cotangents of `recurrent`, those of `inputs` at the last gates where they differ (no more, so that the
            common ones are stored once), and the cotangent of `before` that doesn't pass through `recurrent`.
        """


class LayerWeights(NamedTuple):
    """The weights of one layer, in the parameterisation of cuDNN and PyTorch: both products have a bias."""

    input_weight: Float[Array, "in_width gates"]
    input_bias: Float[Array, "gates"]
    recurrent_weight: Float[Array, "hidden gates"]
    recurrent_bias: Float[Array, "gates"]


class _Residuals(NamedTuple):
    x: Float[Array, "length batch in_width"]
    weights: LayerWeights
    states: tuple[Float[Array, "length batch hidden"], ...]
    saved: tuple[Float[Array, "length batch hidden"], ...]


def initial_weights(cell: Cell, in_width: int, hidden_size: int, *, key: PRNGKeyArray) -> LayerWeights:
    """All weights and biases uniform on ±1/√hidden_size, as in `torch.nn.RNNBase` and `eqx.nn.GRUCell`."""
    width = cell.num_gates * hidden_size
    shapes = ((in_width, width), (width,), (hidden_size, width), (width,))
    keys = jax.random.split(key, len(shapes))
    return LayerWeights(*map(uniform(hidden_size), keys, shapes))


def _outputs(
    cell: Cell, weights: LayerWeights, x: Float[Array, "length batch in_width"]
) -> Float[Array, "length batch hidden"]:
    """The outputs h_1, ..., h_T of one layer, from the state zero."""
    return _forward(cell, weights, x)[0]


def _forward(
    cell: Cell, weights: LayerWeights, x: Float[Array, "length batch in_width"]
) -> tuple[Float[Array, "length batch hidden"], _Residuals]:
    split = partial(jnp.split, indices_or_sections=cell.num_gates, axis=-1)
    projections = zip(split(weights.input_weight), split(weights.input_bias), strict=True)
    inputs = tuple(multiply(x, weight) + bias for weight, bias in projections)
    recurrent_bias = split(weights.recurrent_bias)

    def step(state: State, inputs: Gates) -> tuple[State, tuple[State, Gates]]:
        products = split(state[0] @ weights.recurrent_weight)
        recurrent = tuple(product + bias for product, bias in zip(products, recurrent_bias, strict=True))
        state, saved = cell.step(inputs, recurrent, state)
        return state, (state, saved)

    start = (jnp.zeros_like(inputs[0][0]),) * cell.num_states
    _, (states, saved) = jax.lax.scan(step, start, inputs)
    return states[0], _Residuals(x, weights, states, saved)


def _backward(
    cell: Cell, residuals: _Residuals, cotangent: Float[Array, "length batch hidden"]
) -> tuple[LayerWeights, Float[Array, "length batch in_width"]]:
    x, weights, states, saved = residuals
    before = tuple(jnp.concatenate((jnp.zeros_like(state[:1]), state[:-1])) for state in states)
    recurrent_transposed = weights.recurrent_weight.T

    def step(carry: State, at_t: tuple[Array, State, Gates]) -> tuple[State, tuple[Array, Gates]]:
        from_above, before, saved = at_t
        d_recurrent, d_inputs, (d_output, *d_memory) = cell.pull_back(
            saved, before, (carry[0] + from_above, *carry[1:])
        )
        d_gates = jnp.concatenate(d_recurrent, axis=-1)
        return (d_output + d_gates @ recurrent_transposed, *d_memory), (d_gates, d_inputs)

    end = tuple(jnp.zeros_like(state[0]) for state in states)
    _, (d_recurrent, d_last_inputs) = jax.lax.scan(step, end, (cotangent, before, saved), reverse=True)
    d_recurrent = rows(d_recurrent)
    own_width = len(d_last_inputs) * states[0].shape[-1]
    d_inputs = jnp.concatenate(
        (d_recurrent[:, : d_recurrent.shape[-1] - own_width], *map(rows, d_last_inputs)), axis=-1
    )
    d_weights = LayerWeights(
        input_weight=rows(x).T @ d_inputs,
        input_bias=d_inputs.sum(axis=0),
        recurrent_weight=rows(before[0]).T @ d_recurrent,
        recurrent_bias=d_recurrent.sum(axis=0),
    )
    return d_weights, (d_inputs @ weights.input_weight.T).reshape(x.shape)


recurrence = jax.custom_vjp(_outputs, nondiff_argnums=(0,))
recurrence.defvjp(_forward, _backward)
