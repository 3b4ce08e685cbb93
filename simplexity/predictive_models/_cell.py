"""The cell of a recurrent layer: what it computes for each unit by itself, and the derivative of that.

A cell needs only `Cell.step`, which JAX then differentiates (`AutodiffCell`). A cell that is worth the effort brings a
derivative written by hand (`DifferentiatedCell`), with which its layers take less time and run as kernels on a GPU.
"""

from abc import abstractmethod
from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Gates = tuple[Float[Array, "*leading hidden"], ...]
"""One array per gate."""
Blocks = tuple[Float[Array, "..."], ...]
"""The gates side by side: the last axis of a block is one gate or several; the axes before it are the same in all."""
State = tuple[Float[Array, "*batch hidden"], ...]

# Measured on a CPU: up to this many units, few operations matter more than whole arrays.
_NARROW = 40


class Cell(eqx.Module):
    """What a recurrent layer computes for each of its units by itself. It holds no arrays.

    Attributes:
        num_gates: The number of gates.
        num_states: The number of arrays in a state.
    """

    num_gates: eqx.AbstractVar[int]
    num_states: eqx.AbstractVar[int]

    @abstractmethod
    def step(self, inputs: Gates, recurrent: Gates, state: State) -> State:
        """The state after one token. All arrays have the shape (batch, hidden).

        Args:
            inputs: What arrives at each gate from the layer below, u_t = x_t W + b.
            recurrent: What arrives at each gate from the layer's own output, v_t = h_{t-1} R + c.
            state: The state before the token; all zeros before the first one.

        Returns:
            The state after the token: a tuple of `num_states` arrays, of which the first is the output h_t.
        """


class DifferentiatedCell(Cell):
    """A cell with its derivative, as the loops over time need it.

    The loops keep the gates in blocks, so that gates which pass through the same function may share an array; `gates`
    takes blocks apart.

    Attributes:
        num_joined_gates: How many gates, the first ones, share a block in a narrow layer on a CPU, because that takes
            less time; 1 for none. They pass through the same function of u_t + v_t.
        num_nonadditive_gates: How many gates, the last ones, use v_t otherwise than in the sum u_t + v_t.
    """

    num_joined_gates: eqx.AbstractVar[int]
    num_nonadditive_gates: eqx.AbstractVar[int]

    @abstractmethod
    def step_and_save(self, inputs: Blocks, recurrent: Blocks, state: State) -> tuple[State, Blocks]:
        """The next state, as in `step`, and what `pull_back` needs of this step.

        What is saved has the shapes of `inputs`, because it is written over them. The GPU's kernels add units up to a
        power of two, whose inputs and states are zero; their states must stay finite.
        """

    @abstractmethod
    def pull_back(
        self, saved: Blocks, nonadditive: Blocks, before: State, cotangent: State
    ) -> tuple[Gates, Gates, State]:
        """The transposed derivative of the step.

        Args:
            saved: The second result of `step_and_save`.
            nonadditive: The last `num_nonadditive_gates` gates of `recurrent`.
            before: The state before the step.
            cotangent: The cotangent of the state after the step.

        Returns:
            The cotangents of `recurrent`; those of the last `num_nonadditive_gates` gates of `inputs` (those of the
            other gates are equal to those of `recurrent`); and the cotangent of `before`, without the part that passes
            through `recurrent`.
        """

    def step(self, inputs: Gates, recurrent: Gates, state: State) -> State:
        """See `Cell.step`."""
        return self.step_and_save(inputs, recurrent, state)[0]


class AutodiffCell(DifferentiatedCell):
    """Any cell, with the derivative that `jax.vjp` finds.

    Nothing is assumed about how its gates combine u_t and v_t. Both are kept, and a step back computes the step once
    more.
    """

    cell: Cell
    num_joined_gates: ClassVar[int] = 1

    def __init__(self, cell: Cell):
        self.cell = cell

    @property
    def num_gates(self) -> int:
        return self.cell.num_gates

    @property
    def num_nonadditive_gates(self) -> int:
        return self.cell.num_gates

    @property
    def num_states(self) -> int:
        return self.cell.num_states

    def step_and_save(self, inputs: Blocks, recurrent: Blocks, state: State) -> tuple[State, Blocks]:
        """Saves u_t."""
        return self.cell.step(inputs, recurrent, state), inputs

    def pull_back(
        self, saved: Blocks, nonadditive: Blocks, before: State, cotangent: State
    ) -> tuple[Gates, Gates, State]:
        """See `DifferentiatedCell.pull_back`."""
        _, transposed_derivative = jax.vjp(self.cell.step, saved, nonadditive, before)
        d_inputs, d_recurrent, d_before = transposed_derivative(cotangent)
        return d_recurrent, d_inputs, d_before


def differentiated(cell: Cell) -> DifferentiatedCell:
    """The cell with its own derivative if it has one, or else with that of `jax.vjp`."""
    return cell if isinstance(cell, DifferentiatedCell) else AutodiffCell(cell)


def sigmoid(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """σ(x) = (1 + tanh(x / 2)) / 2, for which XLA's CPU compiler has faster code than for 1 / (1 + exp(-x))."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


def computed_once(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The same array, which XLA computes once on a CPU: else every operation that reads it computes it again."""
    return jax.lax.optimization_barrier(x) if jax.default_backend() == "cpu" else x


def gates(blocks: Blocks, hidden_size: int) -> Gates:
    """The gates of blocks, one by one."""
    return tuple(gate for block in blocks for gate in _gates_of(block, hidden_size))


def split(cell: DifferentiatedCell, all_gates: Float[Array, "*leading gates"]) -> Blocks:
    """The blocks of an array of all gates: one per gate, but one for the joined gates of a narrow layer on a CPU."""
    hidden_size = all_gates.shape[-1] // cell.num_gates
    shares_a_block = jax.default_backend() == "cpu" and hidden_size <= _NARROW
    num_joined = cell.num_joined_gates if shares_a_block else 1
    bounds = [0, *range(num_joined, cell.num_gates + 1)]
    return tuple(all_gates[..., start * hidden_size : stop * hidden_size] for start, stop in pairwise(bounds))


def join(blocks: Iterable[Float[Array, "..."]]) -> Float[Array, "..."]:
    """The inverse of `split`."""
    return jnp.concatenate(tuple(blocks), axis=-1)


def add(a: Blocks, b: Blocks) -> Blocks:
    """The sums of blocks, block by block."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _gates_of(block: Float[Array, "..."], hidden_size: int) -> list[Float[Array, "..."]]:
    # A block of one gate is left as it is: a kernel for the GPU has only such blocks, and Triton cannot split arrays.
    return [block] if block.shape[-1] == hidden_size else jnp.split(block, block.shape[-1] // hidden_size, axis=-1)
