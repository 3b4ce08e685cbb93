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
        bias: Blocks,
        nonadditive_bias: Blocks,
        inputs: Blocks,
    ) -> tuple[States, Blocks]:
        """Goes through all times forward, from the state zero.

        Args:
            cell: The layer's cell.
            recurrent_weight: R, by which the output before each time is multiplied.
            bias: What is added to `inputs`: b + c, but b alone at the last `num_nonadditive_gates` gates.
            nonadditive_bias: The bias c of these gates.
            inputs: The products x_t W at all times: blocks (length, batch, _).

        Returns:
            All states, and what `run_backward` of the same loops needs beside them.
        """

    @abstractmethod
    def run_backward(
        self,
        cell: DifferentiatedCell,
        recurrent_weight: Float[Array, "hidden gates"],
        nonadditive_bias: Blocks,
        cotangent: Float[Array, "length batch hidden"],
        states: States,
        saved: Blocks,
    ) -> tuple[Blocks, Blocks]:
        """Goes through all times backward.

        Args:
            cell: The layer's cell.
            recurrent_weight: R.
            nonadditive_bias: The bias c of the last `num_nonadditive_gates` gates.
            cotangent: The cotangent of the outputs.
            states: The first result of `run_forward`.
            saved: The second.

        Returns:
            The cotangents of u_t, in the shapes of `inputs`, and of v_t at the last `num_nonadditive_gates` gates.
        """


class XLALoops(TimeLoops):
    """Loops that XLA compiles.

    Both write what they collect over what they have just read: the saved gates over their inputs, and the cotangents
    over the saved gates. On a CPU the memory that a step touches costs more than its arithmetic. Arrays are time-major,
    so that a loop reads and writes contiguous memory. A bias is added, and the state before a step is found, within
    the loops: an array of them all would be written and read once more.
    """

    def run_forward(
        self,
        cell: DifferentiatedCell,
        recurrent_weight: Float[Array, "hidden gates"],
        bias: Blocks,
        nonadditive_bias: Blocks,
        inputs: Blocks,
    ) -> tuple[States, Blocks]:
        """See `TimeLoops`. Saves what the cell saves, and v_t at the last `num_nonadditive_gates` gates."""
        length, batch, _ = inputs[0].shape
        num_additive = len(inputs) - cell.num_nonadditive_gates

        def step(t: Int[Array, ""], carry: tuple[State, Blocks, Blocks]) -> tuple[State, Blocks, Blocks]:
            state, states, saved = carry
            products = split(cell, state[0] @ recurrent_weight)
            nonadditive = add(products[num_additive:], nonadditive_bias)
            inputs = add(_at(t, saved[: len(bias)]), bias)
            state, gates = cell.step_and_save(inputs, products[:num_additive] + nonadditive, state)
            return state, _write(t, states, state), _write(t, saved, gates + nonadditive)

        def zeros(number: int, *shape: int) -> Blocks:
            return (jnp.zeros((*shape, batch, len(recurrent_weight))),) * number

        start = zeros(cell.num_states), zeros(cell.num_states, length)
        saved = inputs + zeros(cell.num_nonadditive_gates, length)
        _, states, saved = jax.lax.fori_loop(0, length, step, (*start, saved))
        return states, saved

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
        length, num_inputs = len(cotangent), len(saved) - cell.num_nonadditive_gates
        num_additive = num_inputs - cell.num_nonadditive_gates
        recurrent_transposed = recurrent_weight.T

        def step(i: Int[Array, ""], carry: tuple[State, Blocks]) -> tuple[State, Blocks]:
            d_state, saved = carry
            t = length - 1 - i
            (from_above,), saved_t = _at(t, (cotangent,)), _at(t, saved)
            d_recurrent, d_nonadditive_inputs, (d_output, *d_memory) = cell.pull_back(
                saved_t[:num_inputs], saved_t[num_inputs:], _before(t, states), (d_state[0] + from_above, *d_state[1:])
            )
            # The barrier makes XLA read the saved gates before the cotangents are written over them. Without it, XLA
            # copies all of them at each step.
            d_gates = jax.lax.optimization_barrier(join(d_recurrent))
            d_blocks = split(cell, d_gates)
            d_state = (d_output + d_gates @ recurrent_transposed, *d_memory)
            d_inputs = d_blocks[:num_additive] + d_nonadditive_inputs
            return d_state, _write(t, saved, d_inputs + d_blocks[num_additive:])

        end = tuple(jnp.zeros_like(state[0]) for state in states)
        _, d_saved = jax.lax.fori_loop(0, length, step, (end, saved))
        return d_saved[:num_inputs], d_saved[num_inputs:]


def before(state: Float[Array, "length batch hidden"]) -> Float[Array, "length batch hidden"]:
    """One part of the states from which the steps started: zeros, then all but the last."""
    return jnp.concatenate((jnp.zeros_like(state[:1]), state[:-1]))


def _at(t: Int[Array, ""], arrays: Blocks) -> Blocks:
    """The part of each array at time t."""
    return tuple(
        jax.lax.dynamic_index_in_dim(array, t, keepdims=False, allow_negative_indices=False) for array in arrays
    )


def _before(t: Int[Array, ""], states: States) -> State:
    """The state from which the step at time t started. Selecting zeros costs less than an array of such states."""
    return tuple(jnp.where(t == 0, 0, state) for state in _at(jnp.maximum(t - 1, 0), states))


def _write(t: Int[Array, ""], arrays: Blocks, parts: Blocks) -> Blocks:
    """The arrays with their parts at time t replaced."""
    return tuple(
        jax.lax.dynamic_update_index_in_dim(array, part, t, axis=0, allow_negative_indices=False)
        for array, part in zip(arrays, parts, strict=True)
    )
