"""The arrays of a pytree as one vector of 32-bit words: many runs are then stacked by one operation."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree, UInt32


class WordVector:
    """Writes the arrays of a pytree one after the other into a vector of 32-bit words, and reads them back, exactly.

    A program of many runs thus takes one array of each. With one for each leaf it would take minutes to compile.

    Args:
        tree: One of the pytrees to write: all have its structure, shapes and types, and whatever in it is no array.

    Raises:
        TypeError: If it has an array of 64-bit numbers.

    Attributes:
        num_words: The length of the vector.
    """

    def __init__(self, tree: PyTree):
        arrays, self._static = eqx.partition(tree, eqx.is_array)
        leaves, self._structure = jax.tree.flatten(arrays)
        self._kinds = [_Kind(leaf) for leaf in leaves]
        self._ends = list(itertools.accumulate(kind.num_words for kind in self._kinds))
        self.num_words = self._ends[-1] if self._ends else 0

    def write(self, tree: PyTree) -> UInt32[Array, " words"]:
        """The words of a pytree; to be traced or jitted."""
        leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_array))
        parts = [kind.words(leaf) for kind, leaf in zip(self._kinds, leaves, strict=True)]
        return jnp.concatenate(parts) if parts else jnp.zeros(0, jnp.uint32)

    def read(self, words: UInt32[Array, " words"]) -> PyTree:
        """The pytree whose words these are; to be traced or jitted."""
        parts = [
            kind.array(words[end - kind.num_words : end]) for kind, end in zip(self._kinds, self._ends, strict=True)
        ]
        return eqx.combine(jax.tree.unflatten(self._structure, parts), self._static)


class _Kind:
    """Shape and type of an array, and how its elements are written as words."""

    def __init__(self, array: Array):
        is_key = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
        self._random = jax.random.key_impl(array) if is_key else None
        data = jax.eval_shape(jax.random.key_data, array) if is_key else array
        self._shape, self._dtype, self.num_words = data.shape, data.dtype, math.prod(data.shape)
        if self._dtype.itemsize > 4:
            raise TypeError(f"a pack has no arrays of {self._dtype}, only of 32-bit numbers and shorter ones")

    def words(self, array: Array) -> UInt32[Array, " words"]:
        """The elements of an array, one word each."""
        data = (array if self._random is None else jax.random.key_data(array)).ravel()
        return (
            data.astype(jnp.uint32) if data.dtype == jnp.bool_ else data.view(_unsigned(data.dtype)).astype(jnp.uint32)
        )

    def array(self, words: UInt32[Array, " words"]) -> Array:
        """The array whose elements these are."""
        if self._dtype == jnp.bool_:
            data = words.astype(bool)
        else:
            data = words.astype(_unsigned(self._dtype)).view(self._dtype)
        data = data.reshape(self._shape)
        return data if self._random is None else jax.random.wrap_key_data(data, impl=self._random)


def _unsigned(dtype: np.dtype) -> np.dtype:
    return np.dtype(f"uint{8 * dtype.itemsize}")
