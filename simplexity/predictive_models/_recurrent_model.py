"""Recurrent layers on top of each other, between an embedding table and a linear head."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._cell import Cell
from ._linear import Head, uniform
from ._predictive_model import ActivationRecorder, Activations, Edits, PredictiveModel, check_sizes
from ._recurrence import LayerWeights, initial_weights, recurrence


class RecurrentModel(PredictiveModel):
    """Layers of one kind of cell, and a linear head. A final subclass names the cell; `draw_layers` draws its weights.

    The input weight of the first layer is the embedding table too: its row for a token is what the token adds to the
    gates. A product with one-hot rows selects it, because the gradient of an indexed look-up is a scatter, which XLA
    runs one row at a time on a CPU; alphabets here have a few tokens.
    """

    cell: eqx.AbstractClassVar[Cell]
    layers: tuple[LayerWeights, ...]
    head: Head

    def forward(
        self, tokens: Int[Array, "batch length"], *, edit: Edits | None = None
    ) -> tuple[Float[Array, "batch length vocab"], Activations]:
        """The logits, and the outputs of the layers as layer_0, layer_1, ...; see `PredictiveModel.forward`."""
        vocab_size = self.layers[0].input_weight.shape[0]
        recorder = ActivationRecorder(edit)
        hidden = jax.nn.one_hot(tokens.T, vocab_size)
        for index, weights in enumerate(self.layers):
            outputs = jnp.swapaxes(recurrence(self.cell, weights, hidden), 0, 1)
            hidden = jnp.swapaxes(recorder.record(f"layer_{index}", outputs), 0, 1)
        return jnp.swapaxes(self.head(hidden), 0, 1), recorder.activations()


def draw_layers(
    cell: Cell, hidden_size: int, num_layers: int, *, vocab_size: int, key: PRNGKeyArray
) -> tuple[tuple[LayerWeights, ...], Head]:
    """Draws the weights of a recurrent model: its fields `layers` and `head`.

    Args:
        cell: The model's cell.
        hidden_size: Units per layer, at least 1.
        num_layers: Layers, from 1 to 1000.
        vocab_size: Number of tokens, at least 1.
        key: The random key of the weights.

    Raises:
        ValueError: If a size is out of its range.
    """
    check_sizes(hidden_size=hidden_size, num_layers=num_layers, vocab_size=vocab_size)
    head_key, *layer_keys = jax.random.split(key, num_layers + 1)
    in_widths = (vocab_size, *[hidden_size] * (num_layers - 1))
    layers = tuple(
        initial_weights(cell, in_width, hidden_size, key=layer_key)
        for in_width, layer_key in zip(in_widths, layer_keys, strict=True)
    )
    return layers, Head(hidden_size, vocab_size, uniform(hidden_size), key=head_key)
