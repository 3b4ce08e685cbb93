"""A pytree's arrays by name, as a checkpoint holds them, and back."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree, Shaped

from ._manifest import Leaf

_ARRAYS = (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct)
HostArrays: TypeAlias = dict[str, Shaped[np.ndarray, "..."]]

_CAUSE = "another model saved it, or an earlier version of it"


def describe_leaves(tree: PyTree, prefix: str = "") -> dict[str, Leaf]:
    """Shape and type of each array leaf by its path, such as `model.cells[0].weight`; paths begin with `prefix`.

    The leaves may be `jax.ShapeDtypeStruct` as well.
    """
    return {name: _describe(leaf) for name, leaf in _named_leaves(tree, prefix).items()}


def describe_raw_leaves(tree: PyTree) -> dict[str, Leaf]:
    """Shape and type of each array that `copy_to_host` gives: typed random keys are described by their raw words."""
    return {
        name: _describe(jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf)
        for name, leaf in _named_leaves(tree, "").items()
    }


def copy_to_host(tree: PyTree) -> HostArrays:
    """Copies of the array leaves by path; typed random keys as their raw words.

    Copies, and not NumPy's views of the device's memory (on a CPU it is the same memory): the caller's next step may
    donate it.
    """
    raw = {name: jax.random.key_data(leaf) if _is_key(leaf) else leaf for name, leaf in _named_leaves(tree, "").items()}
    # device_get starts all transfers before it waits for the first.
    return {name: np.array(leaf) for name, leaf in jax.device_get(raw).items()}


def check_same_leaves(saved: Mapping[str, Leaf], wanted: Mapping[str, Leaf], checkpoint: str) -> None:
    """That a checkpoint has the leaves of the state that it is to fill.

    Raises:
        ValueError: Naming the first leaf that differs and both shapes, or the leaf that one of them lacks.
    """
    for name, leaf in wanted.items():
        if name not in saved:
            raise ValueError(f"{checkpoint} has no `{name}`, which this config needs: {_CAUSE}")
        if saved[name] != leaf:
            raise ValueError(f"{checkpoint} has `{name}` of {saved[name]}, this config of {leaf}: {_CAUSE}")
    for name in saved:
        if name not in wanted:
            raise ValueError(f"{checkpoint} has `{name}`, which this config lacks: {_CAUSE}")


def fill(like: PyTree, arrays: HostArrays, prefix: str = "") -> PyTree:
    """`like` with its array leaves, or the shapes that stand for them, taken from `arrays`; what is neither stays.

    Args:
        like: A tree with the structure of the saved one. The types of its leaves say what to make of the arrays: NumPy
            arrays stay on the host, JAX's arrays and random keys are put on the device.
        arrays: The saved arrays, by the names of their leaves.
        prefix: What the names in `arrays` begin with.
    """

    def filled(path: Any, leaf: Any) -> Any:
        if not isinstance(leaf, _ARRAYS):
            return leaf
        array = arrays[_name(prefix, path)]
        if isinstance(leaf, np.ndarray | np.generic):
            return array if isinstance(leaf, np.ndarray) else array[()]
        if _is_key(leaf):
            return jax.random.wrap_key_data(jax.device_put(array), impl=_key_impl(leaf))
        # jnp.array would compile one copy per shape. On a CPU device_put borrows NumPy's memory, and a donated buffer
        # that is borrowed is left alone by XLA.
        return jax.device_put(array)

    return jax.tree_util.tree_map_with_path(filled, like)


def _named_leaves(tree: PyTree, prefix: str) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(prefix, path): leaf for path, leaf in leaves if isinstance(leaf, _ARRAYS)}


def _name(prefix: str, path: Any) -> str:
    return (prefix + jax.tree_util.keystr(path)).removeprefix(".")


def _describe(leaf: Any) -> Leaf:
    if _is_key(leaf):
        return Leaf(leaf.shape, "uint32", _key_impl(leaf))
    return Leaf(leaf.shape, str(leaf.dtype), None)


def _key_impl(leaf: Any) -> str:
    found = []
    # A shape has no implementation, and an array that is traced from it does.
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), leaf)
    return str(found[0])


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
