"""What every model of token sequences can do: predict, name its activations, and compute on with edited ones."""

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float, Int

Activations = OrderedDict[str, Float[Array, "batch *_"]]
"""Arrays by name, in the order of computation: JAX sorts the keys of a plain dict that a compiled function returns.

A name without a slash is what a layer or one of its parts puts out, one vector per position: [batch, length, width].
A name with a slash is inside of a layer or a part, such as an attention pattern, and may have any shape.
"""

Edits = Mapping[str, Callable[[Float[Array, "batch *_"]], Float[Array, "batch *_"]]]
"""Functions by the name of the activation that each replaces; a function returns the shape that it is given."""


class MicroBatch(NamedTuple):
    """How much of a batch a core of a CPU differentiates at a time, so that its arrays stay in the core's cache.

    Attributes:
        most_tokens: Tokens, unless these are too few sequences.
        fewest_rows: Sequences that a micro-batch has, however long they are.
    """

    most_tokens: int = 2048
    fewest_rows: int = 1


_MOST_LAYERS = 1000
# The product of a few sizes is still an index of 64 bits.
_LARGEST_SIZE = 2**24


class PredictiveModel(eqx.Module):
    """Predicts each next token of a sequence from the tokens before it.

    A model defines `forward`, which works on a whole batch, so that its matrix products have one row per token of the
    batch, and so that the gradient of a weight is one product over all of those rows. Both `model(tokens)` and
    `model.activations(tokens)` take one sequence. `jax.vmap(model)` gives the same logits as `forward`, but its
    derivative sums one gradient per sequence, which is slower: a training step calls `forward`.

    Attributes:
        micro_batch: The best size of a micro-batch on a CPU.
    """

    micro_batch: ClassVar[MicroBatch] = MicroBatch()

    def prefers_library_products(self, num_rows: int) -> bool:
        """Whether a CPU takes less time for a training step if XLA's kernel library computes the products.

        Args:
            num_rows: Sequences in a micro-batch.
        """
        return True

    @abstractmethod
    def forward(
        self, tokens: Int[Array, "batch length"], *, edit: Edits | None = None
    ) -> tuple[Float[Array, "batch length vocab"], Activations]:
        """The logits of each next token, and the named activations of every layer, for a batch of sequences.

        Under `jax.jit`, activations that are not used are not computed.

        Args:
            tokens: The sequences.
            edit: What to replace activations with, by name, to see what depends on them (patching, ablation,
                steering): everything after them is computed from what the functions return. A model that is only
                trained may do without this argument.

        Raises:
            ValueError: If an edit names no activation of this model, or changes a shape.

        Example:
            >>> import jax
            >>> import jax.numpy as jnp
            >>> from simplexity.predictive_models import GRU
            >>> model = GRU(4, 2, vocab_size=3, key=jax.random.key(0))
            >>> tokens = jnp.zeros((1, 5), int)
            >>> _, activations = model.forward(tokens, edit={"layer_0": jnp.zeros_like})
            >>> list(activations), float(jnp.abs(activations["layer_0"]).sum())
            (['layer_0', 'layer_1'], 0.0)
        """

    def __call__(self, tokens: Int[Array, "length"]) -> Float[Array, "length vocab"]:
        """The logits of the token that follows each position of one sequence."""
        logits, _ = self.forward(tokens[None])
        return logits[0]

    def activations(self, tokens: Int[Array, "length"]) -> OrderedDict[str, Float[Array, "*_"]]:
        """The activations of one sequence, by name, in the order of computation."""
        _, activations = self.forward(tokens[None])
        return OrderedDict((name, values[0]) for name, values in activations.items())


class ActivationRecorder:
    """Collects the activations of one forward pass under their names, each after its edit.

    Args:
        edit: What was given to `forward`.
    """

    def __init__(self, edit: Edits | None):
        self._edit = edit or {}
        self._activations = Activations()

    def is_edited(self, name: str) -> bool:
        """Whether there is an edit of that name."""
        return name in self._edit

    def record(self, name: str, value: Float[Array, "batch *_"]) -> Float[Array, "batch *_"]:
        """What to compute on with: `value`, or what its edit makes of it.

        Raises:
            ValueError: If the edit changes the shape.
        """
        if name in self._edit:
            edited = self._edit[name](value)
            if edited.shape != value.shape:
                raise ValueError(f"the edit of {name!r} returned the shape {edited.shape} in place of {value.shape}")
            value = edited
        self._activations[name] = value
        return value

    def observe(self, name: str, value: Float[Array, "batch *_"]) -> None:
        """Records what nothing is computed from.

        Raises:
            ValueError: If there is an edit of it.
        """
        if name in self._edit:
            raise ValueError(f"{name!r} cannot be edited: nothing after its layer is computed from it")
        self._activations[name] = value

    def activations(self) -> Activations:
        """All that were recorded.

        Raises:
            ValueError: If an edit was of none of them.
        """
        unknown = [name for name in self._edit if name not in self._activations]
        if unknown:
            raise ValueError(f"no activation is named {unknown[0]!r}; there are {', '.join(self._activations)}")
        return self._activations


def check_sizes(**arguments: int) -> None:
    """Raises ValueError, naming the argument and its value, unless every argument is at least 1 and no absurd number.

    Layers are compiled one by one: a billion of them would fill the memory before anything could say so. Whether there
    is enough memory for the other sizes is asked when the model has been compiled.
    """
    for name, value in arguments.items():
        largest = _MOST_LAYERS if name == "num_layers" else _LARGEST_SIZE
        if not 1 <= value <= largest:
            raise ValueError(f"`{name}` must be at {'least 1' if value < 1 else f'most {largest}'}, got {value}")
