"""The loops over time of a recurrent layer, each as one kernel for NVIDIA's GPUs.

If XLA compiles the loop, every operation of every time step is a kernel of its own. For a small layer each takes about
a microsecond, and the GPU spends its time starting them. Here one program goes through all times of one sequence, with
the recurrent weight in its registers; for many runs side by side (a `vmap` over models), one program goes through all
times of a block of sequences of one run, and multiplies on the matrix units. The kernels are written in Pallas for its
Triton compiler, which wants all sizes to be powers of two: other numbers of units are padded with zeros.

JAX 0.11 deprecates Pallas's Triton compiler in favour of Mosaic GPU, whose kernels name the threads and the memory of a
Hopper or Blackwell GPU themselves. Where a JAX no longer has Triton, or Triton does not compile for a GPU,
`recurrence` takes XLA's loops and logs one warning.

References:
    Diamos et al., "Persistent RNNs: Stashing Recurrent Weights On-Chip" (2016).
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas.triton import CompilerParams
from jaxtyping import Array, Float, Int

from ._cell import Blocks, DifferentiatedCell, add
from ._kernel_products import BlockProducts, Products, VectorProducts
from ._linear import multiply
from ._time_loops import States, TimeLoops, before

# Weights that fit into the registers of a processor beside everything else; more would be spilled to memory.
_MOST_WEIGHTS = 3 * 128 * 128
# A program of a block has each weight twice in its processor's shared memory (227 KB on an H100).
_MOST_WEIGHTS_OF_BLOCKS = 4 * 64 * 64
# A batch of so many sequences or more is taken in blocks. Not measured yet: compiled for an H100, a time step of a
# block of 16 has as many instructions as that of 5 to 7 sequences by themselves, however many of its rows are used.
# Only a benchmark sets it, to measure both kernels: they differ in the last bits of their numbers.
FEWEST_SEQUENCES_OF_BLOCKS = 8


def products_of_pack(num_gates: int, hidden_size: int, num_sequences: int) -> Products:
    """How the kernels multiply for many runs side by side, each with a recurrent weight of its own.

    Args:
        num_gates: The gates of the cell.
        hidden_size: The units of the layer, without those that it is padded with.
        num_sequences: The sequences in a batch of one run.
    """
    if _num_weights(num_gates, hidden_size) <= _MOST_WEIGHTS_OF_BLOCKS and num_sequences >= FEWEST_SEQUENCES_OF_BLOCKS:
        return BlockProducts(16)
    return VectorProducts()


def _num_weights(num_gates: int, hidden_size: int) -> int:
    """The numbers in the recurrent weight as a kernel has it: padded."""
    return num_gates * pl.next_power_of_2(hidden_size) ** 2


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
        return _num_weights(cell.num_gates, hidden_size) <= _MOST_WEIGHTS

    def run_forward(
        self,
        cell: DifferentiatedCell,
        recurrent_weight: Float[Array, "hidden gates"],
        bias: Blocks,
        nonadditive_bias: Blocks,
        inputs: Blocks,
    ) -> tuple[States, Blocks]:
        """See `TimeLoops`. Saves what the cell saves."""
        weights = _by_gate(cell, recurrent_weight)
        num_outputs = cell.num_states + cell.num_gates
        inputs = add(inputs, bias)
        outputs = self._call(_forward_kernel, cell, weights, nonadditive_bias, inputs, num_outputs)
        return outputs[: cell.num_states], outputs[cell.num_states :]

    def run_backward(
        self,
        cell: DifferentiatedCell,
        recurrent_weight: Float[Array, "hidden gates"],
        nonadditive_bias: Blocks,
        cotangent: Float[Array, "length batch hidden"],
        states: States,
        saved: Blocks,
    ) -> tuple[Blocks, Blocks]:
        """See `TimeLoops`."""
        weights = _by_gate(cell, recurrent_weight)
        all_before = tuple(map(before, states))
        products = (multiply(all_before[0], weight) for weight in weights[len(weights) - len(nonadditive_bias) :])
        sequences = (cotangent, *saved, *add(tuple(products), nonadditive_bias), *all_before)
        weights = tuple(weight.T for weight in weights)
        num_outputs = cell.num_gates + cell.num_nonadditive_gates
        outputs = self._call(_backward_kernel, cell, weights, (), sequences, num_outputs)
        return outputs[: cell.num_gates], outputs[cell.num_gates :]

    def _call(
        self,
        kernel: Callable[..., None],
        cell: DifferentiatedCell,
        weights: Blocks,
        biases: Blocks,
        sequences: Blocks,
        num_outputs: int,
    ) -> Blocks:
        call = partial(_call, kernel, cell, num_outputs, self._interpret)

        @jax.custom_batching.custom_vmap
        def alone(weights: Blocks, biases: Blocks, sequences: Blocks) -> Blocks:
            return call(VectorProducts(), weights, biases, sequences)

        @alone.def_vmap
        def side_by_side(
            _: int, are_mapped: list[Any], weights: Blocks, biases: Blocks, sequences: Blocks
        ) -> tuple[Blocks, tuple[bool, ...]]:
            # Where all share one weight, the mapped axis is one of more sequences, and there are no runs side by side.
            has_own_weights = all(are_mapped[0])
            batch, hidden_size = sequences[0].shape[-2:]
            products = products_of_pack(cell.num_gates, hidden_size, batch) if has_own_weights else VectorProducts()
            axes = jax.tree.map(lambda is_mapped: 0 if is_mapped else None, tuple(are_mapped))
            outputs = jax.vmap(partial(call, products), in_axes=axes)(weights, biases, sequences)
            return outputs, (True,) * len(outputs)

        return alone(weights, biases, sequences)


def _by_gate(cell: DifferentiatedCell, weight: Float[Array, "hidden gates"]) -> Blocks:
    return tuple(jnp.split(weight, cell.num_gates, axis=1))


def _call(
    kernel: Callable[..., None],
    cell: DifferentiatedCell,
    num_outputs: int,
    interpret: bool,
    products: Products,
    weights: Blocks,
    biases: Blocks,
    sequences: Blocks,
) -> Blocks:
    """Runs `kernel(cell, products, weights, biases, sequences, outputs)`; the outputs are shaped like the sequences."""
    length, batch, hidden_size = sequences[0].shape
    width = max(pl.next_power_of_2(hidden_size), products.least_width)
    num_programs = pl.cdiv(batch, products.num_rows)
    padded_batch = num_programs * products.num_rows
    sizes = ((width, width),) * len(weights) + ((width,),) * len(biases)
    sizes += ((length, padded_batch, width),) * len(sequences)
    ends = (len(weights), len(weights) + len(biases), len(sizes))

    def with_refs(*refs: Any) -> None:
        kernel(cell, products, refs[: ends[0]], refs[ends[0] : ends[1]], refs[ends[1] : ends[2]], refs[ends[2] :])

    outputs = pl.pallas_call(
        with_refs,
        out_shape=[jax.ShapeDtypeStruct((length, padded_batch, width), jnp.float32)] * num_outputs,
        grid=(num_programs,),
        compiler_params=CompilerParams(num_warps=products.num_warps(len(weights) * width**2), num_stages=1),
        interpret=interpret,
        name=kernel.__name__.lstrip("_"),
    )(*map(_pad, (*weights, *biases, *sequences), sizes))
    return tuple(output[:, :batch, :hidden_size] for output in outputs)


def _pad(array: Float[Array, "..."], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Pads every axis with zeros at its end."""
    return jnp.pad(array, [(0, size - given) for given, size in zip(array.shape, shape, strict=True)])


def _forward_kernel(
    cell: DifferentiatedCell, products: Products, weight_refs: Any, bias_refs: Any, input_refs: Any, output_refs: Any
) -> None:
    length, _, width = input_refs[0].shape
    sequences = products.sequences()
    num_additive = cell.num_gates - cell.num_nonadditive_gates
    weights = tuple(products.prepare(ref[...]) for ref in weight_refs)
    biases = tuple(ref[...] for ref in bias_refs)

    def step(t: Int[Array, ""], carry: tuple[Blocks, Blocks]) -> tuple[Blocks, Blocks]:
        state, inputs = carry
        # Read while this step computes.
        next_inputs = _read(input_refs, jnp.minimum(t + 1, length - 1), sequences)
        recurrent = products.with_each(state[0], weights)
        state, saved = cell.step_and_save(
            inputs, recurrent[:num_additive] + add(recurrent[num_additive:], biases), state
        )
        _write(output_refs, t, sequences, state + saved)
        return state, next_inputs

    start = (products.zero_state(width),) * cell.num_states
    jax.lax.fori_loop(0, length, step, (start, _read(input_refs, 0, sequences)))


def _backward_kernel(
    cell: DifferentiatedCell, products: Products, weight_refs: Any, _: Any, sequence_refs: Any, output_refs: Any
) -> None:
    length, _, width = sequence_refs[0].shape
    sequences = products.sequences()
    num_additive = cell.num_gates - cell.num_nonadditive_gates
    weights = tuple(products.prepare(ref[...]) for ref in weight_refs)

    def step(i: Int[Array, ""], carry: tuple[Blocks, Blocks]) -> tuple[Blocks, Blocks]:
        d_state, (from_above, *rest) = carry
        t = length - 1 - i
        # Read while this step computes.
        next_rest = _read(sequence_refs, jnp.maximum(t - 1, 0), sequences)
        saved, rest = tuple(rest[: cell.num_gates]), tuple(rest[cell.num_gates :])
        nonadditive, before = rest[: cell.num_nonadditive_gates], rest[cell.num_nonadditive_gates :]
        d_state = (d_state[0] + from_above, *d_state[1:])
        d_recurrent, d_nonadditive_inputs, (d_output, *d_memory) = cell.pull_back(saved, nonadditive, before, d_state)
        d_blocks = d_recurrent[:num_additive] + d_nonadditive_inputs + d_recurrent[num_additive:]
        _write(output_refs, t, sequences, d_blocks)
        return (d_output + products.summed(d_recurrent, weights), *d_memory), next_rest

    end = (products.zero_state(width),) * cell.num_states
    jax.lax.fori_loop(0, length, step, (end, _read(sequence_refs, length - 1, sequences)))


def _read(refs: Iterable[Any], t: Int[Array, ""] | int, sequences: Any) -> Blocks:
    return tuple(ref[t, sequences, :] for ref in refs)


def _write(refs: Iterable[Any], t: Int[Array, ""], sequences: Any, blocks: Blocks) -> None:
    for ref, block in zip(refs, blocks, strict=True):
        ref[t, sequences, :] = block
