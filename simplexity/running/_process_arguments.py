"""A run's process as an argument of its compiled programs: runs whose processes differ in numbers share them."""

from typing import Any

import equinox as eqx
import jax

from simplexity.generative_processes import DataGenerator, GenerativeProcess

from ._model_check import key_shape

# The shortest row with room for special tokens.
_LENGTH = 4


def as_argument(generator: DataGenerator) -> DataGenerator:
    """The generator with its arrays on the device, for programs that get it as an argument.

    A process of the user's own may ask for the values of its arrays, which an argument does not have while a program
    is traced. Such a process is a constant of the programs instead, and each run compiles its own.
    """
    if _is_foreign(generator.process) and not _may_be_traced(generator):
        return eqx.tree_at(lambda generator: generator.process, generator, _Constant(generator.process))
    return jax.tree.map(lambda leaf: jax.device_put(leaf) if eqx.is_array(leaf) else leaf, generator)


class _Constant:
    """A process that is one leaf of a pytree, and so not traced."""

    def __init__(self, process: GenerativeProcess):
        self._process = process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)


def _is_foreign(process: GenerativeProcess) -> bool:
    """Whether it is, or is made of, processes that are not of this package."""

    def is_foreign(node: object) -> bool:
        return isinstance(node, GenerativeProcess) and not type(node).__module__.startswith("simplexity.")

    return any(map(is_foreign, jax.tree.leaves(process, is_leaf=is_foreign)))


def _may_be_traced(generator: DataGenerator) -> bool:
    def use(generator: DataGenerator, key: jax.Array) -> Any:
        _, tokens = generator.sample(generator.initial_sampling_state(1, key=key), _LENGTH, key=key)
        return jax.vmap(generator.next_token_probabilities)(tokens)

    try:
        eqx.filter_eval_shape(use, generator, key_shape())
    except Exception:  # whatever the user's own code makes of an array without values
        return False
    return True
