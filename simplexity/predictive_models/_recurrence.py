r"""One recurrent layer over time, with a derivative that keeps the weights out of the loop.

A gated cell has the form

    u_t = x_t W + b,    v_t = h_{t-1} R + c,    s_t = cell(u_t, v_t, s_{t-1}),    h_t the first part of s_t,

where `cell` acts on each unit by itself. Only v_t needs the loop over time: all u_t are one product before it.
Differentiated as it stands, each step of the reverse loop would add its outer product h_{t-1}ᵀ dv_t to the gradient of
R. The reverse loop below only collects the cotangents dv_t; then

    dR = Σ_t h_{t-1}ᵀ dv_t,    dW = Σ_t x_tᵀ du_t,    dx_t = du_t Wᵀ

are matrix products over all times and sequences at once. In most gates the cell adds v_t to u_t: there dv_t = du_t, and
both biases are added before the loop.

Both loops write what they collect over what they have just read, the gates over their inputs and the cotangents over
the gates: on a CPU the memory that a step touches costs more than its arithmetic. Arrays are time-major, so that a loop
reads and writes contiguous memory.

References:
    Appleyard, Kočiský and Blunsom, "Optimizing Performance of Recurrent Neural Networks on GPUs" (2016),
    arXiv:1604.01946, sections 3.1 to 3.3.
"""

from abc import abstractmethod
from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._linear import multiply, rows, uniform

# Their last axis is one gate or several; those before it are the same.
Blocks = tuple[Float[Array, "..."], ...]
Gates = tuple[Float[Array, "*leading hidden"], ...]
State = tuple[Float[Array, "batch hidden"], ...]

# Measured on a CPU. Up to this many units, to run few operations matters more than to read whole arrays.
_NARROW = 40
# Up to this many rows, to join the gates and multiply once is quicker than to multiply gate by gate.
_FEW_ROWS = 128


class Cell(eqx.Module):
    """The elementwise part of a recurrent layer, and its derivative. It holds no arrays.

    Its gates come in blocks: one array per gate, or one for several that pass through the same function; see `gates`.

    Attributes:
        num_gates: The number of gates.
        num_alike: How many of them, the first ones, pass through the same function and may share a block.
        num_apart: How many of them, the last ones, do anything else with v_t than to add it to u_t.
        num_states: The number of arrays in a state.
    """

    num_gates: eqx.AbstractClassVar[int]
    num_alike: eqx.AbstractClassVar[int]
    num_apart: eqx.AbstractClassVar[int]
    num_states: eqx.AbstractClassVar[int]

    @abstractmethod
    def step(self, inputs: Blocks, recurrent: Blocks, state: State) -> tuple[State, Blocks]:
        """The next state, whose first part is the output, and what `pull_back` needs of this step.

        What it needs has the shapes of `inputs`, whose memory it takes.
        """

    @abstractmethod
    def pull_back(self, saved: Blocks, apart: Blocks, before: State, cotangent: State) -> tuple[Gates, Gates, State]:
        """The transposed derivative of `step`.

        Args:
            saved: The second result of `step`.
            apart: The last `num_apart` gates of `recurrent`.
            before: The state that `step` started from.
            cotangent: The cotangent of the state that it returned.

        Returns:
            The cotangents of `recurrent`; those of the last `num_apart` gates of `inputs`; and the cotangent of
            `before` that doesn't pass through `recurrent`.
        """


def gates(blocks: Blocks, hidden_size: int) -> Gates:
    """The gates of blocks, one by one."""
    return tuple(gate for block in blocks for gate in jnp.split(block, block.shape[-1] // hidden_size, axis=-1))


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
    saved: Blocks


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
    length, batch, _ = x.shape
    hidden_size = weights.recurrent_weight.shape[0]
    split = partial(_split, cell, hidden_size)
    input_bias, recurrent_bias = split(weights.input_bias), split(weights.recurrent_bias)
    added = len(input_bias) - cell.num_apart
    bias = _add(input_bias[:added], recurrent_bias[:added]) + input_bias[added:]
    inputs = _add(split(multiply(x, weights.input_weight)), bias)

    def step(t: Int[Array, ""], carry: tuple[State, Blocks, Blocks]) -> tuple[State, Blocks, Blocks]:
        state, states, inputs = carry
        products = split(state[0] @ weights.recurrent_weight)
        recurrent = products[:added] + _add(products[added:], recurrent_bias[added:])
        state, saved = cell.step(_at(t, inputs), recurrent, state)
        return state, _write(t, states, state), _write(t, inputs, saved)

    start = (jnp.zeros((batch, hidden_size)),) * cell.num_states
    states = (jnp.zeros((length, batch, hidden_size)),) * cell.num_states
    _, states, saved = jax.lax.fori_loop(0, length, step, (start, states, inputs))
    return states[0], _Residuals(x, weights, states, saved)


def _backward(
    cell: Cell, residuals: _Residuals, cotangent: Float[Array, "length batch hidden"]
) -> tuple[LayerWeights, Float[Array, "length batch in_width"]]:
    x, weights, states, saved = residuals
    length, added = len(x), len(saved) - cell.num_apart
    split = partial(_split, cell, weights.recurrent_weight.shape[0])
    before = tuple(jnp.concatenate((jnp.zeros_like(state[:1]), state[:-1])) for state in states)
    products = tuple(multiply(before[0], weight) for weight in split(weights.recurrent_weight)[added:])
    apart = _add(products, split(weights.recurrent_bias)[added:])
    recurrent_transposed = weights.recurrent_weight.T

    def step(i: Int[Array, ""], carry: tuple[State, Blocks, Blocks]) -> tuple[State, Blocks, Blocks]:
        d_state, saved, apart = carry
        t = length - 1 - i
        (from_above,) = _at(t, (cotangent,))
        d_recurrent, d_inputs_apart, (d_output, *d_memory) = cell.pull_back(
            _at(t, saved), _at(t, apart), _at(t, before), (d_state[0] + from_above, *d_state[1:])
        )
        # The barrier has the gates read before they are written over; without it, XLA copies all of them at each step.
        d_gates = jax.lax.optimization_barrier(_join(d_recurrent))
        d_blocks = split(d_gates)
        d_state = (d_output + d_gates @ recurrent_transposed, *d_memory)
        return d_state, _write(t, saved, d_blocks[:added] + d_inputs_apart), _write(t, apart, d_blocks[added:])

    end = tuple(jnp.zeros_like(state[0]) for state in states)
    _, d_inputs, d_apart = jax.lax.fori_loop(0, length, step, (end, saved, apart))
    d_inputs, d_apart = tuple(map(rows, d_inputs)), tuple(map(rows, d_apart))
    d_recurrent = d_inputs[:added] + d_apart
    input_weights = split(weights.input_weight)
    if len(rows(x)) <= _FEW_ROWS:
        d_inputs, d_recurrent, input_weights = ((_join(blocks),) for blocks in (d_inputs, d_recurrent, input_weights))
    # XLA multiplies faster by a left side that was transposed before than by one that it transposes.
    x_transposed, h_transposed = jax.lax.optimization_barrier((rows(x).T, rows(before[0]).T))
    d_weights = LayerWeights(
        input_weight=_join(x_transposed @ d_block for d_block in d_inputs),
        input_bias=_join(d_block.sum(axis=0) for d_block in d_inputs),
        recurrent_weight=_join(h_transposed @ d_block for d_block in d_recurrent),
        recurrent_bias=_join(d_block.sum(axis=0) for d_block in d_recurrent),
    )
    d_x = sum(d_block @ weight.T for d_block, weight in zip(d_inputs, input_weights, strict=True))
    return d_weights, jnp.reshape(d_x, x.shape)


def _split(cell: Cell, hidden_size: int, all_gates: Float[Array, "*leading gates"]) -> Blocks:
    """The blocks of an array of all gates."""
    num_joined = cell.num_alike if hidden_size <= _NARROW else 1
    bounds = [0, *range(num_joined, cell.num_gates + 1)]
    return tuple(all_gates[..., start * hidden_size : stop * hidden_size] for start, stop in pairwise(bounds))


def _join(blocks: Iterable[Float[Array, "..."]]) -> Float[Array, "..."]:
    """The inverse of `_split`."""
    return jnp.concatenate(tuple(blocks), axis=-1)


def _add(a: Blocks, b: Blocks) -> Blocks:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _at(t: Int[Array, ""], arrays: Blocks) -> Blocks:
    """The part of each array at time t."""
    return tuple(
        jax.lax.dynamic_index_in_dim(array, t, keepdims=False, allow_negative_indices=False) for array in arrays
    )


def _write(t: Int[Array, ""], arrays: Blocks, parts: Blocks) -> Blocks:
    """The arrays with their parts at time t replaced."""
    return tuple(
        jax.lax.dynamic_update_index_in_dim(array, part, t, axis=0, allow_negative_indices=False)
        for array, part in zip(arrays, parts, strict=True)
    )


recurrence = jax.custom_vjp(_outputs, nondiff_argnums=(0,))
recurrence.defvjp(_forward, _backward)
