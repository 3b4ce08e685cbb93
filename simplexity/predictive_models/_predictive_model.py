"""What every model of token sequences can do, and the check of sizes that their constructors share."""

from abc import abstractmethod
from collections import OrderedDict

import equinox as eqx
from jaxtyping import Array, Float, Int

Activations = OrderedDict[str, Float[Array, "batch length _"]]
"""Arrays by name, in the order of computation: JAX sorts the keys of a plain dict that a compiled function returns."""

_MOST_LAYERS = 1000
# The product of a few sizes is still an index of 64 bits.
_LARGEST_SIZE = 2**24


class PredictiveModel(eqx.Module):
    """Predicts each next token of a sequence from the tokens before it.

    A model defines `forward`, which works on a whole batch, so that its matrix products have one row per token of the
    batch, and so that the gradient of a weight is one product over all of those rows. Both `model(tokens)` and
    `model.activations(tokens)` take one sequence. `jax.vmap(model)` gives the same logits as `forward`, but its
    derivative sums one gradient per sequence, which is slower: a training step calls `forward`.
    """

    @abstractmethod
    def forward(self, tokens: Int[Array, "batch length"]) -> tuple[Float[Array, "batch length vocab"], Activations]:
        """The logits of each next token, and the named activations of every layer, for a batch of sequences.

        Under `jax.jit`, activations that are not used are not computed.
        """

    def __call__(self, tokens: Int[Array, "length"]) -> Float[Array, "length vocab"]:
        """The logits of the token that follows each position of one sequence."""
        logits, _ = self.forward(tokens[None])
        return logits[0]

    def activations(self, tokens: Int[Array, "length"]) -> OrderedDict[str, Float[Array, "length _"]]:
        """The activations of every layer at every position of one sequence, by name, in the order of computation."""
        _, activations = self.forward(tokens[None])
        return OrderedDict((name, values[0]) for name, values in activations.items())


def check_sizes(**arguments: int) -> None:
    """Raises ValueError, naming the argument and its value, unless every argument is at least 1 and no absurd number.

    Layers are compiled one by one: a billion of them would fill the memory before anything could say so. Whether there
    is enough memory for the other sizes is asked when the model has been compiled.
    """
    for name, value in arguments.items():
        largest = _MOST_LAYERS if name == "num_layers" else _LARGEST_SIZE
        if not 1 <= value <= largest:
            raise ValueError(f"`{name}` must be at {'least 1' if value < 1 else f'most {largest}'}, got {value}")
