"""The compiled programs that a process keeps: what one run has compiled, a later run of the same program only calls.

Two runs have the same program if they differ in values alone: those are its arguments. The key of a program is all else
that it depends on: the structure of its arguments (a pytree's static fields, the shapes and types of its arrays), the
settings that it is built from, the text of the config without the numbers that are arguments, and the devices. What
cannot be compared by value, such as a function that was made for one run, is compared by identity, and not shared.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import equinox as eqx
import jax
from jaxtyping import PyTree

_Value = TypeVar("_Value")

# A sweep has few; one that varies the sizes of its models must not fill the memory.
_MOST_PROGRAMS = 48
_MOST_ANSWERS = 256


class _Kept:
    """Values by their keys, of which the one that was not used for longest is removed where there are too many."""

    def __init__(self, most: int):
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return value


_programs, _answers = _Kept(_MOST_PROGRAMS), _Kept(_MOST_ANSWERS)


def kept_program(key: Hashable, compiled: Callable[[], _Value]) -> _Value:
    """The program of `key`; compiles and keeps it if there is none. Removes the one that was not used for longest.

    Args:
        key: All that the program depends on.
        compiled: Traces and compiles it.
    """
    return _programs.get(key, compiled)


def kept_answer(key: Hashable, find: Callable[[], _Value]) -> _Value:
    """What was found for `key` before; finds and keeps it if nothing was. Tracing takes longer than a tiny run's start.

    Args:
        key: All that the answer depends on.
        find: Finds it; what it raises is not kept.
    """
    return _answers.get(key, find)


def structure_of(tree: PyTree) -> Hashable:
    """All of a pytree but the values of its arrays, as a part of a key."""
    leaves, structure = jax.tree.flatten(tree)
    # With their types, because 1, 1.0 and True are equal.
    return structure, tuple(jax.typeof(leaf) if eqx.is_array(leaf) else (type(leaf), leaf) for leaf in leaves)
