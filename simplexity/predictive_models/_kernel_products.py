"""The sequences that one program of a GPU's kernel takes, and how it multiplies by the recurrent weight."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

from ._cell import Blocks


class Products(ABC):
    """One program's sequences, and their products with the recurrent weight.

    Attributes:
        num_rows: How many sequences a program takes.
        least_width: The fewest units that a product may have.
    """

    num_rows: int
    least_width: int

    @abstractmethod
    def zero_state(self, width: int) -> Float[Array, "*rows width"]:
        """One array of the state before the first token."""

    @abstractmethod
    def sequences(self) -> Any:
        """The index of this program's sequences."""

    @abstractmethod
    def prepare(self, weight: Float[Array, "width width"]) -> Any:
        """What the products below take of one weight; computed once, before the loop over time."""

    @abstractmethod
    def with_each(self, rows: Float[Array, "*rows width"], weights: tuple[Any, ...]) -> Blocks:
        """The product of the same rows with each weight."""

    @abstractmethod
    def summed(self, rows_of_each: Blocks, weights: tuple[Any, ...]) -> Float[Array, "*rows width"]:
        """The sum of the products of each weight with rows of its own."""

    @abstractmethod
    def num_warps(self, num_weights: int) -> int:
        """How many groups of 32 threads a program has, for so many numbers in all its weights."""


class VectorProducts(Products):
    """One sequence per program.

    The product of a vector is a sum of the scaled rows of the weight, which all threads hold in their registers: matrix
    units would need sixteen vectors at a time, and with one run most of the GPU would be idle.
    """

    num_rows = 1
    least_width = 1

    # Measured on an H100: with more threads per product, the sum over threads costs more than the division saves.
    _WEIGHTS_PER_WARP = 32 * 192

    def zero_state(self, width: int) -> Float[Array, "width"]:
        """See `Products`."""
        return jnp.zeros(width)

    def sequences(self) -> Any:
        """See `Products`."""
        return pl.program_id(0)

    def prepare(self, weight: Float[Array, "width width"]) -> Float[Array, "width width"]:
        """See `Products`."""
        return weight

    def with_each(self, rows: Float[Array, "width"], weights: tuple[Any, ...]) -> Blocks:
        """See `Products`."""
        return tuple(jnp.sum(rows[:, None] * weight, axis=0) for weight in weights)

    def summed(self, rows_of_each: Blocks, weights: tuple[Any, ...]) -> Float[Array, "width"]:
        """See `Products`."""
        scaled = sum(rows[:, None] * weight for rows, weight in zip(rows_of_each, weights, strict=True))
        return jnp.sum(scaled, axis=0)

    def num_warps(self, num_weights: int) -> int:
        """See `Products`."""
        return pl.next_power_of_2(pl.cdiv(num_weights, self._WEIGHTS_PER_WARP))


class _Parts(NamedTuple):
    """A float32 array as a sum of two arrays of TF32 numbers, whose fractions have 10 bits; exact to 2^-21 of each."""

    high: Float[Array, "*shape"]
    low: Float[Array, "*shape"]


class BlockProducts(Products):
    """A block of sequences per program, for the matrix units.

    They multiply TF32 numbers and add float32 numbers. A product of float32 matrices A and B is computed as three such
    products of their parts ("3xTF32"),

        A B ≈ A_high B_high + (A_high B_low + A_low B_high),

    whose error is at most 2^-19 of Σ_k |A_ik B_kj|, beside that of float32 sums. It is mostly far less.

    Args:
        num_rows: How many sequences a program takes: a power of two, at least 16.

    References:
        Ootomo and Yokota, "Recovering single precision accuracy from Tensor Cores while surpassing the FP32 theoretical
        peak performance" (2022), arXiv:2203.03341.
    """

    # The least of any side of a product in Triton.
    least_width = 16

    def __init__(self, num_rows: int):
        self.num_rows = num_rows

    def zero_state(self, width: int) -> Float[Array, "rows width"]:
        """See `Products`."""
        return jnp.zeros((self.num_rows, width))

    def sequences(self) -> Any:
        """See `Products`."""
        return pl.ds(pl.program_id(0) * self.num_rows, self.num_rows)

    def prepare(self, weight: Float[Array, "width width"]) -> _Parts:
        """See `Products`."""
        return _parts(weight)

    def with_each(self, rows: Float[Array, "rows width"], weights: tuple[Any, ...]) -> Blocks:
        """See `Products`."""
        parts = _parts(rows)
        return tuple(_multiply(parts, weight) for weight in weights)

    def summed(self, rows_of_each: Blocks, weights: tuple[Any, ...]) -> Float[Array, "rows width"]:
        """See `Products`."""
        products = [_multiply(_parts(rows), weight) for rows, weight in zip(rows_of_each, weights, strict=True)]
        return sum(products[1:], start=products[0])

    def num_warps(self, num_weights: int) -> int:
        """See `Products`."""
        # With four, a processor has registers for two programs, of which one computes while the other one waits; but a
        # program of more weights has more than half of the shared memory.
        return 4 if num_weights <= 3 * 64 * 64 else 8


def _parts(x: Float[Array, "*shape"]) -> _Parts:
    high = _truncated(x)
    return _Parts(high, _truncated(x - high))


def _truncated(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The TF32 numbers next to `x` in the direction of zero, which the matrix units then take as they are."""
    bits = jax.lax.bitcast_convert_type(x, jnp.int32) & jnp.int32(~0x1FFF)
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _multiply(a: _Parts, b: _Parts) -> Float[Array, "rows width"]:
    def product(x: Float[Array, "rows inner"], y: Float[Array, "inner width"]) -> Float[Array, "rows width"]:
        # The precision that Triton calls TF32, whatever `jax_default_matmul_precision` says.
        return jnp.dot(x, y, precision=jax.lax.Precision.DEFAULT)

    # The small terms first, for the sake of rounding.
    return product(a.high, b.low) + product(a.low, b.high) + product(a.high, b.high)
