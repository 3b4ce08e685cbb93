"""The loops over time of a recurrent layer."""

from abc import ABC, abstractmethod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ._cell import Blocks, Cell, State, add, join, split

States = tuple[Float[Array, "length batch hidden"], ...]


class TimeLoops(ABC):
    """How a layer goes through all times, forward and back."""

    @abstractmethod
    def run_forward(
        self, cell: Cell, recurrent_weight: Float[Array, "hidden gates"], apart_bias: Blocks, inputs: Blocks
    ) -> tuple[States, Blocks]:
        """All states, and what `Cell.pull_back` needs of every step.

        Args:
            cell: The layer's.
            recurrent_weight: What the output is multiplied with.
            apart_bias: Biases of the last `num_apart` gates' products; those of the others are in `inputs`.
            inputs: What arrives at the gates from below, at all times.
        """

    @abstractmethod
    def run_backward(
        self,
        cell: Cell,
        recurrent_weight: Float[Array, "hidden gates"],
        cotangent: Float[Array, "length batch hidden"],
        saved: Blocks,
        apart: Blocks,
        before: States,
    ) -> tuple[Blocks, Blocks]:
        """The cotangents of what arrived at the gates: from below, and of the last `num_apart` gates' products.

        Args:
            cell: The layer's.
            recurrent_weight: What the output is multiplied with.
            cotangent: Of the outputs.
            saved: The second result of `run_forward`.
            apart: The products of the last `num_apart` gates, with their biases.
            before: The states from which the steps started.
        """


class XLALoops(TimeLoops):
    """Loops that are left to XLA.

    Both write what they collect over what they have just read, the gates over their inputs and the cotangents over the
    gates: on a CPU the memory that a step touches costs more than its arithmetic. Arrays are time-major, so that a loop
    reads and writes contiguous memory.
    """

    def run_forward(
        self, cell: Cell, recurrent_weight: Float[Array, "hidden gates"], apart_bias: Blocks, inputs: Blocks
    ) -> tuple[States, Blocks]:
        """See `TimeLoops`."""
        length, batch, _ = inputs[0].shape
        added = len(inputs) - cell.num_apart

        def step(t: Int[Array, ""], carry: tuple[State, Blocks, Blocks]) -> tuple[State, Blocks, Blocks]:
            state, states, inputs = carry
            products = split(cell, state[0] @ recurrent_weight)
            recurrent = products[:added] + add(products[added:], apart_bias)
            state, saved = cell.step(_at(t, inputs), recurrent, state)
            return state, _write(t, states, state), _write(t, inputs, saved)

        hidden_size = len(recurrent_weight)
        start = (jnp.zeros((batch, hidden_size)),) * cell.num_states
        states = (jnp.zeros((length, batch, hidden_size)),) * cell.num_states
        _, states, saved = jax.lax.fori_loop(0, length, step, (start, states, inputs))
        return states, saved

    def run_backward(
        self,
        cell: Cell,
        recurrent_weight: Float[Array, "hidden gates"],
        cotangent: Float[Array, "length batch hidden"],
        saved: Blocks,
        apart: Blocks,
        before: States,
    ) -> tuple[Blocks, Blocks]:
        """See `TimeLoops`."""
        length, added = len(cotangent), len(saved) - cell.num_apart
        recurrent_transposed = recurrent_weight.T

        def step(i: Int[Array, ""], carry: tuple[State, Blocks, Blocks]) -> tuple[State, Blocks, Blocks]:
            d_state, saved, apart = carry
            t = length - 1 - i
            (from_above,) = _at(t, (cotangent,))
            d_recurrent, d_inputs_apart, (d_output, *d_memory) = cell.pull_back(
                _at(t, saved), _at(t, apart), _at(t, before), (d_state[0] + from_above, *d_state[1:])
            )
            # The barrier has the gates read before they are written over; without it, XLA copies all of them each time.
            d_gates = jax.lax.optimization_barrier(join(d_recurrent))
            d_blocks = split(cell, d_gates)
            d_state = (d_output + d_gates @ recurrent_transposed, *d_memory)
            return d_state, _write(t, saved, d_blocks[:added] + d_inputs_apart), _write(t, apart, d_blocks[added:])

        end = tuple(jnp.zeros_like(state[0]) for state in before)
        _, d_inputs, d_apart = jax.lax.fori_loop(0, length, step, (end, saved, apart))
        return d_inputs, d_apart


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
