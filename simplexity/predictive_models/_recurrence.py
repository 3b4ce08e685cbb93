r"""One recurrent layer over time, with a derivative that keeps the weights out of the loop.

A recurrent layer has the form

    u_t = x_t W + b,    v_t = h_{t-1} R + c,    s_t = cell(u_t, v_t, s_{t-1}),    h_t the first part of s_t,

where `cell` acts on each unit by itself (`_cell.py`). Only v_t needs the loop over time: all u_t are one product before
the loop, or one for each gate on a CPU with many rows. If JAX differentiated the layer as it stands, each step of the
reverse loop would add its outer product h_{t-1}ᵀ dv_t to the gradient of R. The reverse loop below only collects the
cotangents dv_t; then

    dR = Σ_t h_{t-1}ᵀ dv_t,    dW = Σ_t x_tᵀ du_t,    dx_t = du_t Wᵀ

are matrix products over all times and sequences at once. Most gates use only the sum u_t + v_t: there dv_t = du_t, and
the sum of both biases is added to x_t W: by XLA's loop at each time, for a GPU's kernel at all times before it starts.

Arrays are time-major. On a GPU each loop is one kernel (`gpu_kernels.py`), where the layer has one.

References:
    Appleyard, Kočiský and Blunsom, "Optimizing Performance of Recurrent Neural Networks on GPUs" (2016),
    arXiv:1604.01946, sections 3.1 to 3.3.
"""

import logging
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._cell import AutodiffCell, Blocks, Cell, DifferentiatedCell, State, add, differentiated, join, split
from ._linear import multiply, rows, uniform
from ._time_loops import TimeLoops, XLALoops, before

if TYPE_CHECKING:
    from .gpu_kernels import GPUKernels

_log = logging.getLogger("simplexity")

# Measured on a CPU: up to this many rows, one product with all gates is faster than a product per gate.
_FEW_ROWS = 128


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


def recurrence(
    cell: Cell, weights: LayerWeights, x: Float[Array, "length batch in_width"]
) -> Float[Array, "length batch hidden"]:
    """The outputs h_1, ..., h_T of one layer, from the state zero. It has a reverse-mode derivative only."""
    return _recurrence(differentiated(cell), weights, x)


def layer_states(
    cell: Cell, weights: LayerWeights, x: Float[Array, "length batch in_width"]
) -> tuple[Float[Array, "length batch hidden"], ...]:
    """All parts of the states s_1, ..., s_T of one layer, the outputs first: a plain scan, which JAX differentiates."""
    inputs = multiply(x, weights.input_weight) + weights.input_bias

    def step(state: State, at_gates: Float[Array, "batch gates"]) -> tuple[State, State]:
        from_outputs = multiply(state[0], weights.recurrent_weight) + weights.recurrent_bias
        input_gates, recurrent_gates = (tuple(jnp.split(u, cell.num_gates, axis=-1)) for u in (at_gates, from_outputs))
        state = cell.step(input_gates, recurrent_gates, state)
        return state, state

    zeros = jnp.zeros((x.shape[1], len(weights.recurrent_weight)), x.dtype)
    return jax.lax.scan(step, (zeros,) * cell.num_states, inputs)[1]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recurrence(
    cell: DifferentiatedCell, weights: LayerWeights, x: Float[Array, "length batch in_width"]
) -> Float[Array, "length batch hidden"]:
    return _forward(cell, weights, x)[0]


def _forward(
    cell: DifferentiatedCell, weights: LayerWeights, x: Float[Array, "length batch in_width"]
) -> tuple[Float[Array, "length batch hidden"], _Residuals]:
    input_bias, recurrent_bias = split(cell, weights.input_bias), split(cell, weights.recurrent_bias)
    num_additive = len(input_bias) - cell.num_nonadditive_gates
    bias = add(input_bias[:num_additive], recurrent_bias[:num_additive]) + input_bias[num_additive:]
    if jax.default_backend() == "cpu" and len(rows(x)) > _FEW_ROWS:
        # Each product writes its gate's array, which the loop then writes over: nothing is copied between them.
        inputs = tuple(multiply(x, weight) for weight in split(cell, weights.input_weight))
    else:
        inputs = split(cell, multiply(x, weights.input_weight))
    loops = _loops_for(cell, len(weights.recurrent_weight))
    states, saved = loops.run_forward(cell, weights.recurrent_weight, bias, recurrent_bias[num_additive:], inputs)
    return states[0], _Residuals(x, weights, states, saved)


def _backward(
    cell: DifferentiatedCell, residuals: _Residuals, cotangent: Float[Array, "length batch hidden"]
) -> tuple[LayerWeights, Float[Array, "length batch in_width"]]:
    x, weights, states, saved = residuals
    recurrent_bias = split(cell, weights.recurrent_bias)
    num_additive = len(recurrent_bias) - cell.num_nonadditive_gates
    loops = _loops_for(cell, len(weights.recurrent_weight))
    d_inputs, d_nonadditive = loops.run_backward(
        cell, weights.recurrent_weight, recurrent_bias[num_additive:], cotangent, states, saved
    )
    d_inputs, d_nonadditive = tuple(map(rows, d_inputs)), tuple(map(rows, d_nonadditive))
    d_recurrent = d_inputs[:num_additive] + d_nonadditive
    input_weights = split(cell, weights.input_weight)
    if len(rows(x)) <= _FEW_ROWS:
        d_inputs, d_recurrent, input_weights = ((join(blocks),) for blocks in (d_inputs, d_recurrent, input_weights))
    # XLA multiplies faster by a left side that was transposed before the product than by one that it transposes itself.
    x_transposed, h_transposed = jax.lax.optimization_barrier((rows(x).T, rows(before(states[0])).T))
    d_weights = LayerWeights(
        input_weight=join(x_transposed @ d_block for d_block in d_inputs),
        input_bias=join(d_block.sum(axis=0) for d_block in d_inputs),
        recurrent_weight=join(h_transposed @ d_block for d_block in d_recurrent),
        recurrent_bias=join(d_block.sum(axis=0) for d_block in d_recurrent),
    )
    d_x = sum(d_block @ weight.T for d_block, weight in zip(d_inputs, input_weights, strict=True))
    return d_weights, jnp.reshape(d_x, x.shape)


_recurrence.defvjp(_forward, _backward)


def _loops_for(cell: DifferentiatedCell, hidden_size: int) -> TimeLoops:
    """How such a layer goes through time on the device that JAX computes on."""
    # Triton lacks some operations, and the step of a cell that JAX differentiates may use any of them.
    if jax.default_backend() == "gpu" and not isinstance(cell, AutodiffCell):
        kernels = _gpu_kernels()
        if kernels is not None and kernels.can_run(cell, hidden_size):
            return kernels
    return XLALoops()


@cache
def _gpu_kernels() -> "GPUKernels | None":
    """The kernels, where JAX still has the compiler that they are written for, and it knows this GPU."""
    reason = "their kernels need NVIDIA's Ampere or later"
    try:
        from .gpu_kernels import GPUKernels  # imports Pallas, which takes a while
    except ImportError as error:
        reason = f"jax {jax.__version__} does not compile their kernels ({error})"
    else:
        if GPUKernels.knows_device():
            return GPUKernels()
    device = jax.local_devices()[0].device_kind
    _log.warning("%s: recurrent layers take XLA's loops over time, more slowly: %s", device, reason)
    return None
