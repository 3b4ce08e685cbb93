"""The elementwise part of a recurrent layer."""

from abc import abstractmethod
from collections.abc import Iterable
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Their last axis is one gate or several; those before it are the same.
Blocks = tuple[Float[Array, "..."], ...]
Gates = tuple[Float[Array, "*leading hidden"], ...]
State = tuple[Float[Array, "*batch hidden"], ...]

# Measured on a CPU. Up to this many units, to run few operations matters more than to read whole arrays.
_NARROW = 40


class Cell(eqx.Module):
    """What acts on each unit of a layer by itself, and its derivative. It holds no arrays.

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

        What it needs has the shapes of `inputs`, whose memory it takes. From zeros come zeros.
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
    return tuple(gate for block in blocks for gate in _gates_of(block, hidden_size))


def split(cell: Cell, all_gates: Float[Array, "*leading gates"]) -> Blocks:
    """The blocks of an array of all gates."""
    hidden_size = all_gates.shape[-1] // cell.num_gates
    num_joined = cell.num_alike if jax.default_backend() == "cpu" and hidden_size <= _NARROW else 1
    bounds = [0, *range(num_joined, cell.num_gates + 1)]
    return tuple(all_gates[..., start * hidden_size : stop * hidden_size] for start, stop in pairwise(bounds))


def join(blocks: Iterable[Float[Array, "..."]]) -> Float[Array, "..."]:
    """The inverse of `split`."""
    return jnp.concatenate(tuple(blocks), axis=-1)


def add(a: Blocks, b: Blocks) -> Blocks:
    """Block by block."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _gates_of(block: Float[Array, "..."], hidden_size: int) -> list[Float[Array, "..."]]:
    # A kernel for the GPU cannot split, and has nothing to split.
    return [block] if block.shape[-1] == hidden_size else jnp.split(block, block.shape[-1] // hidden_size, axis=-1)
