"""What belief states are compared with: features that a word has without any belief state in them."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int, Int8, Real

from ._words import Words

# The logarithm of an impossible token's probability.
_LEAST_LOG = np.log(1e-12)
# More features than words can tell apart would be no control.
_MOST_FEATURES = 200
# Of single tokens; the least squares of 500 features take about a second.
_MOST_ADDITIVE_FEATURES = 500


def control_features(words: Words) -> Iterator[tuple[str, Real[np.ndarray, "words features"]]]:
    """Features of each word, by name.

    - The next token's probabilities, and their logarithms: what a model needs for its loss. Where belief states are
      linear in them (mess3), a good regression shows no more than a good loss.
    - The last 1, 2, ... tokens together (a state of a Markov process of that order; shorter suffixes are features as
      well, for words that are too short).
    - The last tokens one by one, each adding its part.
    - The tokens at each position from the start one by one, each adding its part.

    Of a large vocabulary, only so many of the last or the first tokens are features as is affordable.
    """
    next_tokens = words.next_token_probabilities
    yield "next-token probabilities", next_tokens
    yield "their logarithms", np.log(np.maximum(next_tokens, np.exp(_LEAST_LOG)))
    recent = _recent_tokens(words)
    vocab_size, longest = next_tokens.shape[1], recent.shape[1]
    suffixes = []
    for order in range(1, longest + 1):
        if sum(vocab_size**k for k in range(1, order + 1)) > min(_MOST_FEATURES, len(words.rows) // 10):
            break
        suffixes.append(_suffix_indicators(recent, vocab_size, order))
        yield f"Markov states of order {order}", np.concatenate(suffixes, axis=1)
    most_tokens = max(_MOST_ADDITIVE_FEATURES // vocab_size, 1)
    lags = np.concatenate([_one_hot(column, vocab_size) for column in recent.T[:most_tokens]], axis=1)
    yield "last tokens, additive", lags
    yield "tokens by position, additive", _by_position(words, vocab_size, most_tokens)


def _recent_tokens(words: Words) -> Int[np.ndarray, "words longest"]:
    """Each word backwards, its last token first; -1 beyond its beginning."""
    longest = int(words.lengths.max())
    columns = []
    for lag in range(longest):
        positions = words.positions - lag
        tokens = words.sequences[words.rows, np.maximum(positions, 0)]
        columns.append(np.where(lag < words.lengths, tokens, -1))
    return np.stack(columns, axis=1)


def _one_hot(tokens: Int[np.ndarray, " words"], vocab_size: int) -> Int8[np.ndarray, "words vocab"]:
    # Small, because there may be a million words.
    return (tokens[:, None] == np.arange(vocab_size)).astype(np.int8)


def _suffix_indicators(
    recent: Int[np.ndarray, "words longest"], vocab_size: int, order: int
) -> Int8[np.ndarray, "words suffixes"]:
    """Which suffix of `order` tokens each word ends with; none if it is shorter."""
    suffix = recent[:, :order]
    number = suffix @ vocab_size ** np.arange(order)
    return _one_hot(np.where((suffix >= 0).all(axis=1), number, -1), vocab_size**order)


def _by_position(words: Words, vocab_size: int, most_tokens: int) -> Int8[np.ndarray, "words features"]:
    """The word's length, and its token at each position from the start."""
    longest = int(words.lengths.max())
    lengths = _one_hot(words.lengths, longest + 1)
    starts = words.positions - words.lengths + 1
    columns = [lengths]
    for place in range(min(longest, most_tokens)):
        tokens = words.sequences[words.rows, np.minimum(starts + place, words.sequences.shape[1] - 1)]
        columns.append(_one_hot(np.where(place < words.lengths, tokens, -1), vocab_size))
    return np.concatenate(columns, axis=1)
