"""The loops over time of a recurrent layer, each as one kernel for NVIDIA's GPUs.

If XLA compiles the loop, every operation of every time step is a kernel of its own. For a small layer each takes about
a microsecond, and the GPU spends its time starting them. Here one program goes through all times of one sequence, with
the recurrent weight in its registers. The product with one vector is a sum of the scaled rows of the weight: matrix
units would need sixteen vectors at a time, and most of the GPU would be idle. The kernels are written in Pallas for its
Triton compiler, which wants all sizes to be powers of two: other numbers of units are padded with zeros.

JAX 0.11 deprecates Pallas's Triton compiler in favour of Mosaic GPU, whose kernels name the threads and the memory of a
Hopper or Blackwell GPU themselves. Where a JAX no longer has Triton, or Triton does not compile for a GPU,
`recurrence` takes XLA's loops and logs one warning.

References:
    Diamos et al., "Persistent RNNs: Stashing Recurrent Weights On-Chip" (2016).
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas.triton import CompilerParams
from jaxtyping import Array, Float, Int

from ._cell import Blocks, DifferentiatedCell, add
from ._time_loops import States, TimeLoops

# Weights that fit into the registers of a processor beside everything else; more would be spilled to memory.
_MOST_WEIGHTS = 3 * 128 * 128
# Measured on an H100: with more threads per product, the sum over threads costs more than the division saves.
_WEIGHTS_PER_WARP = 32 * 192


class GPUKernels(TimeLoops):
    """One kernel for the way forward, and one for the way back.

    Args:
        interpret: Whether to run the kernels in Pallas's interpreter, slowly, on any device.
    """

    def __init__(self, interpret: bool = False):
        self._interpret = interpret

    @staticmethod
    def knows_device() -> bool:
        """Whether Triton compiles for JAX's GPU: NVIDIA's Ampere (compute capability 8.0) or later."""
        device = jax.local_devices()[0]
        return device.device_kind.startswith("NVIDIA") and float(device.compute_capability) >= 8.0

    @staticmethod
    def can_run(cell: DifferentiatedCell, hidden_size: int) -> bool:
        """Whether the weights of such a layer fit into the GPU's registers."""
        return cell.num_gates * pl.next_power_of_2(hidden_size) ** 2 <= _MOST_WEIGHTS

    def run_forward(
        self,
        cell: DifferentiatedCell,
        recurrent_weight: Float[Array, "hidden gates"],
        nonadditive_bias: Blocks,
        inputs: Blocks,
    ) -> tuple[States, Blocks]:
        """See `TimeLoops`."""
        weights = _by_gate(cell, recurrent_weight)
        num_outputs = cell.num_states + cell.num_gates
        outputs = _call(_forward_kernel, cell, weights, nonadditive_bias, inputs, num_outputs, self._interpret)
        return outputs[: cell.num_states], outputs[cell.num_states :]

    def run_backward(
        self,
        cell: DifferentiatedCell,
        recurrent_weight: Float[Array, "hidden gates"],
        cotangent: Float[Array, "length batch hidden"],
        saved: Blocks,
        nonadditive: Blocks,
        before: States,
    ) -> tuple[Blocks, Blocks]:
        """See `TimeLoops`."""
        weights = tuple(weight.T for weight in _by_gate(cell, recurrent_weight))
        sequences = (cotangent, *saved, *nonadditive, *before)
        num_outputs = cell.num_gates + cell.num_nonadditive_gates
        outputs = _call(_backward_kernel, cell, weights, (), sequences, num_outputs, self._interpret)
        return outputs[: cell.num_gates], outputs[cell.num_gates :]


def _by_gate(cell: DifferentiatedCell, weight: Float[Array, "hidden gates"]) -> Blocks:
    return tuple(jnp.split(weight, cell.num_gates, axis=1))


def _call(
    kernel: Callable[..., None],
    cell: DifferentiatedCell,
    weights: Blocks,
    biases: Blocks,
    sequences: Blocks,
    num_outputs: int,
    interpret: bool,
) -> Blocks:
    """Runs `kernel(cell, weights, biases, sequences, outputs)`; the outputs are shaped like each of the sequences."""
    length, batch, hidden_size = sequences[0].shape
    width = pl.next_power_of_2(hidden_size)
    arguments = (*weights, *biases, *sequences)
    ends = (len(weights), len(weights) + len(biases), len(arguments))

    def with_refs(*refs: Any) -> None:
        kernel(cell, refs[: ends[0]], refs[ends[0] : ends[1]], refs[ends[1] : ends[2]], refs[ends[2] :])

    num_warps = pl.next_power_of_2(pl.cdiv(len(weights) * width**2, _WEIGHTS_PER_WARP))
    outputs = pl.pallas_call(
        with_refs,
        out_shape=[jax.ShapeDtypeStruct((length, batch, width), jnp.float32)] * num_outputs,
        grid=(batch,),
        compiler_params=CompilerParams(num_warps=num_warps, num_stages=1),
        interpret=interpret,
        name=kernel.__name__.lstrip("_"),
    )(*(_pad(argument, hidden_size, width) for argument in arguments))
    return tuple(output[..., :hidden_size] for output in outputs)


def _pad(array: Float[Array, "..."], hidden_size: int, width: int) -> Float[Array, "..."]:
    """Pads every axis over the units with zeros: the last axis, and both axes of a weight."""
    num_axes = 2 if array.ndim == 2 else 1
    return jnp.pad(array, [(0, 0)] * (array.ndim - num_axes) + [(0, width - hidden_size)] * num_axes)


def _forward_kernel(
    cell: DifferentiatedCell, weight_refs: Any, bias_refs: Any, input_refs: Any, output_refs: Any
) -> None:
    length, _, width = input_refs[0].shape
    sequence = pl.program_id(0)
    num_additive = cell.num_gates - cell.num_nonadditive_gates
    weights = tuple(ref[...] for ref in weight_refs)
    biases = tuple(ref[...] for ref in bias_refs)

    def step(t: Int[Array, ""], carry: tuple[Blocks, Blocks]) -> tuple[Blocks, Blocks]:
        state, inputs = carry
        # Read while this step computes.
        next_inputs = _read(input_refs, jnp.minimum(t + 1, length - 1), sequence)
        products = tuple(jnp.sum(state[0][:, None] * weight, axis=0) for weight in weights)
        state, saved = cell.step_and_save(inputs, products[:num_additive] + add(products[num_additive:], biases), state)
        _write(output_refs, t, sequence, state + saved)
        return state, next_inputs

    start = (jnp.zeros(width),) * cell.num_states
    jax.lax.fori_loop(0, length, step, (start, _read(input_refs, 0, sequence)))


def _backward_kernel(cell: DifferentiatedCell, weight_refs: Any, _: Any, sequence_refs: Any, output_refs: Any) -> None:
    length, _, width = sequence_refs[0].shape
    sequence = pl.program_id(0)
    num_additive = cell.num_gates - cell.num_nonadditive_gates
    weights = tuple(ref[...] for ref in weight_refs)

    def step(i: Int[Array, ""], carry: tuple[Blocks, Blocks]) -> tuple[Blocks, Blocks]:
        d_state, (from_above, *rest) = carry
        t = length - 1 - i
        # Read while this step computes.
        next_rest = _read(sequence_refs, jnp.maximum(t - 1, 0), sequence)
        saved, rest = tuple(rest[: cell.num_gates]), tuple(rest[cell.num_gates :])
        nonadditive, before = rest[: cell.num_nonadditive_gates], rest[cell.num_nonadditive_gates :]
        d_state = (d_state[0] + from_above, *d_state[1:])
        d_recurrent, d_nonadditive_inputs, (d_output, *d_memory) = cell.pull_back(saved, nonadditive, before, d_state)
        scaled = sum(d_gate[:, None] * weight for d_gate, weight in zip(d_recurrent, weights, strict=True))
        _write(output_refs, t, sequence, d_recurrent[:num_additive] + d_nonadditive_inputs + d_recurrent[num_additive:])
        return (d_output + jnp.sum(scaled, axis=0), *d_memory), next_rest

    end = (jnp.zeros(width),) * cell.num_states
    jax.lax.fori_loop(0, length, step, (end, _read(sequence_refs, length - 1, sequence)))


def _read(refs: Iterable[Any], t: Int[Array, ""] | int, sequence: Int[Array, ""]) -> Blocks:
    return tuple(ref[t, sequence, :] for ref in refs)


def _write(refs: Iterable[Any], t: Int[Array, ""], sequence: Int[Array, ""], blocks: Blocks) -> None:
    for ref, block in zip(refs, blocks, strict=True):
        ref[t, sequence, :] = block
