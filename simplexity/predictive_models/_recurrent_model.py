"""Recurrent layers on top of each other, between an embedding table and a linear head."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._cell import Cell
from ._linear import Head, multiply, normal, uniform
from ._predictive_model import ActivationRecorder, Activations, Edits, MicroBatch, PredictiveModel, check_sizes
from ._recurrence import LayerWeights, initial_weights, layer_states, recurrence

# Measured on an AMD EPYC (docs/performance.md): from these sizes on a step takes 0.90 to 0.98 times as long without
# XLA's kernel library for products (of 128 units up to 1.02), and below mostly 1.07 to 1.19 times.
_FEWEST_GATES = 3
_FEWEST_UNITS = 48
_FEWEST_ROWS = 8


class RecurrentModel(PredictiveModel):
    """Layers of one kind of cell, and a linear head. A final subclass names the cell.

    The first layer reads one-hot tokens, so its input weight has a row for each token: what it adds to the gates. With
    an `embedding` it reads the token's row of that table. A product with one-hot rows selects it in both cases, because
    the gradient of an indexed look-up is a scatter, which XLA runs one row at a time on a CPU; alphabets here have a
    few tokens.
    """

    # Measured with GRUs, LSTMs and RNNs of 64 units on cores with 2 MiB of cache each (docs/performance.md): with 1,024
    # tokens of length 64 a step takes 0.88 to 0.95 times as long as with 2,048. Every token of a sequence is a product
    # with one row per sequence: at length 1,024 a step takes 0.9 times as long with 8 rows as with 2; 16 rows are as
    # fast, 32 are slower.
    micro_batch: ClassVar[MicroBatch] = MicroBatch(most_tokens=1024, fewest_rows=8)

    cell: eqx.AbstractClassVar[Cell]
    layers: tuple[LayerWeights, ...]
    head: Head
    embedding: Float[Array, "vocab embedding"] | None

    def __init__(
        self,
        hidden_size: int,
        num_layers: int,
        embedding_size: int | None = None,
        *,
        vocab_size: int,
        key: PRNGKeyArray,
    ):
        """Draws the weights; the embedding's from the standard normal distribution.

        Args:
            hidden_size: Units per layer, at least 1.
            num_layers: Layers, from 1 to 1000.
            embedding_size: Learned numbers per token that the first layer reads, at least 1; None for one-hot tokens.
            vocab_size: Number of tokens, at least 1.
            key: The random key of the weights.

        Raises:
            ValueError: If a size is out of its range.
        """
        check_sizes(hidden_size=hidden_size, num_layers=num_layers, vocab_size=vocab_size)
        self.embedding, in_width = None, vocab_size
        if embedding_size is not None:
            check_sizes(embedding_size=embedding_size)
            # A key apart from those below: the other weights do not depend on whether there is an embedding.
            self.embedding = normal(1.0)(jax.random.fold_in(key, 0), (vocab_size, embedding_size))
            in_width = embedding_size
        head_key, *layer_keys = jax.random.split(key, num_layers + 1)
        in_widths = (in_width, *[hidden_size] * (num_layers - 1))
        self.layers = tuple(
            initial_weights(self.cell, in_width, hidden_size, key=layer_key)
            for in_width, layer_key in zip(in_widths, layer_keys, strict=True)
        )
        self.head = Head(hidden_size, vocab_size, uniform(hidden_size), key=head_key)

    def forward(
        self, tokens: Int[Array, "batch length"], *, edit: Edits | None = None
    ) -> tuple[Float[Array, "batch length vocab"], Activations]:
        """The logits, and the activations: embedding, if it is learned, and the layers' outputs layer_0, layer_1, ...

        A cell whose state has more than the output, such as an LSTM, has the rest as layer_0.memory, ... (with several
        more: layer_0.memory_1, ...). It stays within the layer, so it cannot be edited: nothing after the layer is
        computed from it. See `PredictiveModel.forward` for `edit`.
        """
        recorder = ActivationRecorder(edit)
        hidden = jax.nn.one_hot(tokens.T, self.head.weight.shape[0])
        if self.embedding is not None:
            embedded = jnp.swapaxes(multiply(hidden, self.embedding), 0, 1)
            hidden = jnp.swapaxes(recorder.record("embedding", embedded), 0, 1)
        for index, weights in enumerate(self.layers):
            self._record_memory(f"layer_{index}.memory", weights, hidden, recorder)
            outputs = jnp.swapaxes(recurrence(self.cell, weights, hidden), 0, 1)
            hidden = jnp.swapaxes(recorder.record(f"layer_{index}", outputs), 0, 1)
        return jnp.swapaxes(self.head(hidden), 0, 1), recorder.activations()

    def prefers_library_products(self, num_rows: int) -> bool:
        """See `PredictiveModel.prefers_library_products`."""
        num_units = len(self.layers[0].recurrent_weight)
        return self.cell.num_gates < _FEWEST_GATES or num_units < _FEWEST_UNITS or num_rows < _FEWEST_ROWS

    def _record_memory(
        self, name: str, weights: LayerWeights, hidden: Float[Array, "length batch width"], recorder: ActivationRecorder
    ) -> None:
        num_memories = self.cell.num_states - 1
        if num_memories == 0:
            return
        # A second pass over time, which jit leaves out where the memory is not used, as in a training step.
        _, *memories = layer_states(self.cell, weights, hidden)
        for number, memory in enumerate(memories, start=1):
            recorder.observe(name if num_memories == 1 else f"{name}_{number}", jnp.swapaxes(memory, 0, 1))
