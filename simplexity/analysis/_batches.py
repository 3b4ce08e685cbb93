"""The sequences that a model reads in an analysis, in batches of one shape, so that one compiled program serves all."""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ._words import Words

_BATCH_SIZE = 2048


class WordBatch(NamedTuple):
    """Some of the sequences of `Words`, and the words that are read from them."""

    sequences: Int[Array, "batch positions"]
    """What the model reads; rows of zeros fill the last batch up."""
    words: Int[np.ndarray, " here"]
    """The words' indices."""
    rows: Int[np.ndarray, " here"]
    """For each word, the row of `sequences` that begins with it."""
    positions: Int[np.ndarray, " here"]
    """For each word, the position of its last token there: what a model computes after it is at `[rows, positions]`."""


def padded_batches(
    sequences: Int[Array | np.ndarray, "sequences positions"],
) -> Iterator[tuple[slice, Int[Array, "batch positions"]]]:
    """Divides sequences into batches; yields which rows each has, and the batch, filled up with rows of zeros."""
    sequences = np.asarray(sequences)
    size = min(_BATCH_SIZE, len(sequences))
    for start in range(0, len(sequences), size):
        rows = sequences[start : start + size]
        yield slice(start, start + len(rows)), jnp.asarray(np.pad(rows, ((0, size - len(rows)), (0, 0))))


def word_batches(words: Words) -> Iterator[WordBatch]:
    """Divides the sequences of words into batches; each word is in exactly one of them."""
    for inside, batch in padded_batches(words.sequences):
        here = np.flatnonzero((words.rows >= inside.start) & (words.rows < inside.stop))
        yield WordBatch(batch, here, words.rows[here] - inside.start, words.positions[here])
