"""The loops over time of a recurrent layer: their interface, and the loops that XLA compiles for any device."""

from abc import ABC, abstractmethod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ._cell import Blocks, DifferentiatedCell, State, add, join, split

States = tuple[Float[Array, "length batch hidden"], ...]


class TimeLoops(ABC):
    """How a layer goes through all times, forward and back."""

    @abstractmethod
    def run_forward(
        self,
        cell: DifferentiatedCell,
        recurrent_weight: Float[Array, "hidden gates"],
        nonadditive_bias: Blocks,
        inputs: Blocks,
    ) -> tuple[States, Blocks]:
        """Goes through all times forward, from the state zero.

        Args:
            cell: The layer's cell.
            recurrent_weight: R, by which the output before each time is multiplied.
            nonadditive_bias: The bias c of the last `num_nonadditive_gates` gates; that of the others is in `inputs`.
            inputs: What arrives at the gates from below, at all times: blocks (length, batch, _).

        Returns:
            All states, and what `DifferentiatedCell.pull_back` needs of every step, in the shapes of `inputs`.
        """

    @abstractmethod
    def run_backward(
        self,
        cell: DifferentiatedCell,
        recurrent_weight: Float[Array, "hidden gates"],
        cotangent: Float[Array, "length batch hidden"],
        saved: Blocks,
        nonadditive: Blocks,
        before: States,
    ) -> tuple[Blocks, Blocks]:
        """Goes through all times backward.

        Args:
            cell: The layer's cell.
            recurrent_weight: R.
            cotangent: The cotangent of the outputs.
            saved: The second result of `run_forward`.
            nonadditive: v_t at the last `num_nonadditive_gates` gates, at all times.
            before: The states from which the steps started.

        Returns:
            The cotangents of u_t, in the shapes of `saved`, and those of `nonadditive`.
        """


class XLALoops(TimeLoops):
    """Loops that XLA compiles.

    Both write what they collect over what they have just read: the saved gates over their inputs, and the cotangents
    over the saved gates. On a CPU the memory that a step touches costs more than its arithmetic. Arrays are time-major,
    so that a loop reads and writes contiguous memory.
    """

    def run_forward(
        self,
        cell: DifferentiatedCell,
        recurrent_weight: Float[Array, "hidden gates"],
        nonadditive_bias: Blocks,
        inputs: Blocks,
    ) -> tuple[States, Blocks]:
        """See `TimeLoops`."""
        length, batch, _ = inputs[0].shape
        num_additive = len(inputs) - cell.num_nonadditive_gates

        def step(t: Int[Array, ""], carry: tuple[State, Blocks, Blocks]) -> tuple[State, Blocks, Blocks]:
            state, states, inputs = carry
            products = split(cell, state[0] @ recurrent_weight)
            recurrent = products[:num_additive] + add(products[num_additive:], nonadditive_bias)
            state, saved = cell.step_and_save(_at(t, inputs), recurrent, state)
            return state, _write(t, states, state), _write(t, inputs, saved)

        hidden_size = len(recurrent_weight)
        start = (jnp.zeros((batch, hidden_size)),) * cell.num_states
        states = (jnp.zeros((length, batch, hidden_size)),) * cell.num_states
        _, states, saved = jax.lax.fori_loop(0, length, step, (start, states, inputs))
        return states, saved

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
        length, num_additive = len(cotangent), len(saved) - cell.num_nonadditive_gates
        recurrent_transposed = recurrent_weight.T

        def step(i: Int[Array, ""], carry: tuple[State, Blocks, Blocks]) -> tuple[State, Blocks, Blocks]:
            d_state, saved, nonadditive = carry
            t = length - 1 - i
            (from_above,) = _at(t, (cotangent,))
            d_recurrent, d_nonadditive_inputs, (d_output, *d_memory) = cell.pull_back(
                _at(t, saved), _at(t, nonadditive), _at(t, before), (d_state[0] + from_above, *d_state[1:])
            )
            # The barrier makes XLA read the saved gates before the cotangents are written over them. Without it, XLA
            # copies all of them at each step.
            d_gates = jax.lax.optimization_barrier(join(d_recurrent))
            d_blocks = split(cell, d_gates)
            d_state = (d_output + d_gates @ recurrent_transposed, *d_memory)
            d_inputs = d_blocks[:num_additive] + d_nonadditive_inputs
            return d_state, _write(t, saved, d_inputs), _write(t, nonadditive, d_blocks[num_additive:])

        end = tuple(jnp.zeros_like(state[0]) for state in before)
        _, d_inputs, d_nonadditive = jax.lax.fori_loop(0, length, step, (end, saved, nonadditive))
        return d_inputs, d_nonadditive


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
