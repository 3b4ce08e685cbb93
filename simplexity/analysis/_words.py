"""A process's words: every one of a length with its probability and belief state, or a sample where there are too many.

A model that has read a word knows no more than that word, so what it computes there belongs to the word, and not to one
of the many sequences that begin with it. Each word is therefore listed once, with its probability as its weight.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from simplexity.generative_processes import DataGenerator, GenerativeProcess

# A token with less probability than this, given the past, is one that rounding makes possible.
_IMPOSSIBLE = 1e-14
# Each of them may end a word of its own, whose belief state is kept: about a gigabyte for a process of a few states.
_MOST_TOKENS = 12_000_000


class Words(NamedTuple):
    """The words of a process up to a length, as a model meets them.

    Of each length the probabilities sum to one. Word `i` is what a model has read at `positions[i]` of the sequence
    `sequences[rows[i]]`, where the special token BOS, if the data has it, counts as a position: it is the empty word.
    """

    sequences: Int[np.ndarray, "sequences positions"]
    """What a model reads: the longest words, behind BOS where there is one."""
    rows: Int[np.ndarray, " words"]
    positions: Int[np.ndarray, " words"]
    lengths: Int[np.ndarray, " words"]
    """The number of process tokens of each word: BOS is none."""
    probabilities: Float[np.ndarray, " words"]
    beliefs: Float[np.ndarray, "words num_states"]
    """The belief state (of a GHMM the predictive vector) after each word."""
    next_token_probabilities: Float[np.ndarray, "words vocab"]
    """The process's distribution of the token that follows each word, special tokens left out."""
    num_drawn: int | None
    """None if these are all words; else the number of sequences that were drawn, whose shares are the probabilities."""

    def copy(self) -> "Words":
        """The same words in arrays of their own."""
        arrays = {name: value for name, value in self._asdict().items() if isinstance(value, np.ndarray)}
        return self._replace(**{name: array.copy() for name, array in arrays.items()})


def words_of(
    generator: DataGenerator | GenerativeProcess, length: int, *, max_words: int = 60_000, seed: int = 0
) -> Words:
    """The words that a process begins with from its initial state, up to `length` tokens.

    Args:
        generator: A process, or a process with special tokens: behind BOS the empty word is the first.
        length: The number of tokens of the longest words, at least 1.
        max_words: If there are more words of that length, sequences are drawn instead, so many that they begin with at
            most `max_words` words; what is computed from them then has the error of a sample.
        seed: Of the sample.

    Raises:
        ValueError: If `length` or `max_words` is below 1, or their product above 12 million.

    Example:
        >>> from simplexity.generative_processes import even_ones
        >>> words = words_of(even_ones(0.5), 3)
        >>> words.sequences.tolist()
        [[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]]
    """
    if length < 1:
        raise ValueError(f"`length` must be at least 1, got {length}")
    if max_words < 1:
        raise ValueError(f"`max_words` must be at least 1, got {max_words}")
    if length * max_words > _MOST_TOKENS:
        raise ValueError(f"`length` must be at most {_MOST_TOKENS // max_words} with {max_words} words, got {length}")
    process = generator.process if isinstance(generator, DataGenerator) else generator
    bos_token = generator.bos_token if isinstance(generator, DataGenerator) else None
    enumerated = _all_words(process, length, max_words)
    if enumerated is not None:
        num_drawn, (tokens, probabilities) = None, enumerated
    else:
        num_drawn = max(max_words // length, 1)
        tokens, probabilities = _drawn_words(process, length, num_drawn, seed)
    rows, lengths, weights = _distinct_prefixes(tokens, probabilities, 0 if bos_token is not None else 1)
    beliefs = _beliefs(process, tokens, rows, lengths)
    if bos_token is None:
        sequences, positions = tokens, lengths - 1
    else:
        sequences, positions = np.pad(tokens, ((0, 0), (1, 0)), constant_values=bos_token), lengths
    next_tokens = process.token_probabilities(beliefs)
    return Words(sequences, rows, positions, lengths, weights, beliefs, next_tokens, num_drawn)


def _all_words(
    process: GenerativeProcess, length: int, max_words: int
) -> tuple[Int[np.ndarray, "words length"], Float[np.ndarray, " words"]] | None:
    """All possible words in lexical order with their probabilities; None if there are more than `max_words`."""
    states, probabilities = process.initial_state[None], np.ones(1)
    tokens = np.zeros((1, 0), dtype=np.int32)
    for _ in range(length):
        next_tokens = process.token_probabilities(states)
        parents, emitted = np.nonzero(next_tokens > _IMPOSSIBLE)
        if len(parents) > max_words:
            return None
        states = process.successors(states[parents], emitted)
        probabilities = probabilities[parents] * next_tokens[parents, emitted]
        tokens = np.column_stack([tokens[parents], emitted.astype(np.int32)])
    return tokens, probabilities


def _drawn_words(
    process: GenerativeProcess, length: int, num_words: int, seed: int
) -> tuple[Int[np.ndarray, "words length"], Float[np.ndarray, " words"]]:
    """The distinct ones of so many drawn words, in lexical order, with their shares."""
    rng = np.random.default_rng(seed)
    states = np.tile(process.initial_state, (num_words, 1))
    tokens = np.empty((num_words, length), dtype=np.int32)
    for position in range(length):
        next_tokens = process.token_probabilities(states)
        cumulative = np.where(next_tokens > _IMPOSSIBLE, next_tokens, 0.0).cumsum(axis=1)
        drawn = rng.random((num_words, 1)) * cumulative[:, -1:]
        tokens[:, position] = (cumulative <= drawn).sum(axis=1)
        states = process.successors(states, tokens[:, position])
    distinct, counts = np.unique(tokens, axis=0, return_counts=True)
    return distinct, counts / num_words


def _distinct_prefixes(
    tokens: Int[np.ndarray, "words length"], probabilities: Float[np.ndarray, " words"], shortest: int
) -> tuple[Int[np.ndarray, " prefixes"], Int[np.ndarray, " prefixes"], Float[np.ndarray, " prefixes"]]:
    """Where each prefix of words in lexical order stands first, its length, and its probability."""
    # How many tokens each word shares with the one before it: a prefix begins where it is longer than that.
    differs = tokens[1:] != tokens[:-1]
    shared = np.concatenate([[-1], np.where(differs.any(axis=1), differs.argmax(axis=1), tokens.shape[1])])
    rows, lengths, weights = [], [], []
    for length in range(shortest, tokens.shape[1] + 1):
        starts = np.flatnonzero(shared < length)
        rows.append(starts)
        lengths.append(np.full(len(starts), length))
        weights.append(np.add.reduceat(probabilities, starts))
    return np.concatenate(rows), np.concatenate(lengths), np.concatenate(weights)


def _beliefs(
    process: GenerativeProcess,
    tokens: Int[np.ndarray, "words length"],
    rows: Int[np.ndarray, " prefixes"],
    lengths: Int[np.ndarray, " prefixes"],
) -> Float[np.ndarray, "prefixes num_states"]:
    states = np.tile(process.initial_state, (len(tokens), 1))
    beliefs = np.empty((len(rows), process.num_states))
    for length in range(tokens.shape[1] + 1):
        if length > 0:
            states = process.successors(states, tokens[:, length - 1])
        ends_here = lengths == length
        beliefs[ends_here] = states[rows[ends_here]]
    return beliefs
