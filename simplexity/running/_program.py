"""Compiled functions of pytrees that can be saved: what was compiled takes and returns arrays one after the other."""

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

from simplexity.training import unknown_option

from ._private_jax import cache_in_use

# Of the compiler's work for a model's first weights, optimising is half, and the emitters of fused loops are a quarter.
_QUICK_OPTIONS: dict[str, bool | int | str] = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
}


@cache
def quick_options() -> dict[str, bool | int | str]:
    """XLA's options for a program that runs once, and so is compiled as quickly as can be; those that this XLA knows.

    Without fused instructions the last bits of its numbers may be others, and so a program always has these options.
    """
    if jax.default_backend() != "cpu":
        return {}
    return {name: value for name, value in _QUICK_OPTIONS.items() if unknown_option({name: value}) is None}


class ArrayPlace:
    """Stands for an array in the result of a program."""


class Program:
    """A compiled program of pytrees.

    Args:
        compiled: Takes the arrays of all arguments, in the order of their leaves, and returns those of the result.
        result: What a call returns, with an `ArrayPlace` for each array.
        executable: The compiler's work, as the cache of the compiler has it; None if that is not known.
    """

    def __init__(self, compiled: jax.stages.Compiled, result: PyTree, executable: bytes | None = None):
        self.compiled = compiled
        self.result = result
        self.executable = executable
        self._leaves, self._structure = jax.tree.flatten(result)

    def __call__(self, *arguments: PyTree) -> PyTree:
        arrays = iter(self.compiled(*_arrays(arguments)))
        leaves = [next(arrays) if isinstance(leaf, ArrayPlace) else leaf for leaf in self._leaves]
        return jax.tree.unflatten(self._structure, leaves)

    @cached_property  # XLA analyses the program anew at each call, for up to 50 ms, and a worker's runs share programs
    def needed_bytes(self) -> int:
        """What `needed_bytes` says of it."""
        return needed_bytes(self.compiled)


def needed_bytes(compiled: Any) -> int:
    """Bytes of memory that a program takes while it runs; 0 where JAX does not know, which depends on the platform."""
    sizes = compiled.memory_analysis()
    if sizes is None:
        return 0
    return (
        sizes.argument_size_in_bytes + sizes.output_size_in_bytes + sizes.temp_size_in_bytes - sizes.alias_size_in_bytes
    )


class Lowered:
    """A program that is ready to be compiled.

    Args:
        lowered: Of the arrays alone.
        result: As of a `Program`.
    """

    def __init__(self, lowered: jax.stages.Lowered, result: PyTree):
        self._lowered, self._result = lowered, result

    def compile(self) -> Program:
        """Compiles it, with the options that it was lowered with."""
        cache = cache_in_use()
        if cache is None:
            return Program(self._lowered.compile(), self._result)
        with cache.recorded() as entries:
            compiled = self._lowered.compile()
        return Program(compiled, self._result, entries[0] if len(entries) == 1 else None)


class Lowerable:
    """A function of pytrees whose arrays are traced; all other leaves are constants.

    Args:
        function: The function.
        donated: The number of the argument whose buffers are donated; None for none.
        compiler_options: Of XLA.
    """

    def __init__(
        self,
        function: Callable[..., PyTree],
        donated: int | None = None,
        compiler_options: dict[str, bool | int | str] | None = None,
    ):
        self._function, self._donated, self._options = function, donated, compiler_options

    def lower(self, *arguments: PyTree) -> Lowered:
        """Traces and lowers the function for arguments like these."""
        leaves, structure = jax.tree.flatten(arguments)
        results: list[PyTree] = []

        def of_arrays(*arrays: Array) -> Sequence[Array]:
            following = iter(arrays)
            filled = [next(following) if eqx.is_array(leaf) else leaf for leaf in leaves]
            result = self._function(*jax.tree.unflatten(structure, filled))
            results.append(jax.tree.map(lambda leaf: ArrayPlace() if eqx.is_array(leaf) else leaf, result))
            return _arrays(result)

        # By its name JAX logs a program and names its file.
        of_arrays.__name__ = of_arrays.__qualname__ = self._function.__name__
        of_each = [len(_arrays(argument)) for argument in arguments]
        first = sum(of_each[: self._donated])
        donated = () if self._donated is None else tuple(range(first, first + of_each[self._donated]))
        jitted = jax.jit(of_arrays, donate_argnums=donated, compiler_options=self._options)
        lowered = jitted.lower(*_arrays(arguments))
        return Lowered(lowered, results[-1])


def _arrays(tree: PyTree) -> list[Array]:
    return [leaf for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf)]
