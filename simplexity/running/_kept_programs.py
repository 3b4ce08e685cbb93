"""The compiled programs that a process keeps: what one run has compiled, a later run of the same program only calls.

Two runs have the same program if they differ in values alone: those are its arguments. The key of a program is all else
that it depends on: the structure of its arguments (a pytree's static fields, the shapes and types of its arrays), the
settings that it is built from, the text of the config without the numbers that are arguments, and the devices. What
cannot be compared by value, such as a function that was made for one run, is compared by identity, and not shared.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

_Value = TypeVar("_Value")

# A sweep has few; one that varies the sizes of its models must not fill the memory.
_MOST = 48
_MOST_ANSWERS = 256

_lock = threading.Lock()
_programs: OrderedDict[Hashable, Any] = OrderedDict()
_answers: OrderedDict[Hashable, Any] = OrderedDict()
# What a thread is making: the threads of a pack would all compile the same program.
_begun: dict[Hashable, Future[Any]] = {}


def kept_program(key: Hashable, compiled: Callable[[], _Value]) -> _Value:
    """The program of `key`; compiles and keeps it if there is none. Removes the one that was not used for longest.

    A thread that asks for what another is compiling waits for that.

    Args:
        key: All that the program depends on.
        compiled: Traces and compiles it.
    """
    return _kept(_programs, _MOST, key, compiled)


def kept_answer(key: Hashable, find: Callable[[], _Value]) -> _Value:
    """What was found for `key` before; finds and keeps it if nothing was. Tracing takes longer than a tiny run's start.

    Args:
        key: All that the answer depends on.
        find: Finds it; what it raises is not kept.
    """
    return _kept(_answers, _MOST_ANSWERS, key, find)


def _kept(values: OrderedDict[Hashable, Any], most: int, key: Hashable, make: Callable[[], _Value]) -> _Value:
    with _lock:
        if key in values:
            values.move_to_end(key)
            return values[key]
        is_first = key not in _begun
        begun = _begun.setdefault(key, Future())
    if not is_first:
        return begun.result()
    try:
        value = make()
    except BaseException as error:
        with _lock:
            del _begun[key]
        begun.set_exception(error)
        raise
    with _lock:
        del _begun[key]
        values[key] = value
        while len(values) > most:
            values.popitem(last=False)
    begun.set_result(value)
    return value


def structure_of(tree: PyTree) -> Hashable:
    """All of a pytree but the values of its arrays, as a part of a key."""
    leaves, structure = jax.tree.flatten(tree)
    # With their types, because 1, 1.0 and True are equal.
    return structure, tuple(jax.typeof(leaf) if eqx.is_array(leaf) else (type(leaf), leaf) for leaf in leaves)


def values_of(tree: PyTree) -> list[np.ndarray]:
    """The values of a pytree's arrays, which `structure_of` does not have; of random keys, their numbers."""

    def numbers(leaf: Any) -> np.ndarray:
        is_key = eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    return [numbers(leaf) for leaf in jax.tree.leaves(tree)]
