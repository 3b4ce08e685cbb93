"""Entropies as means over words that are drawn from a process, with control variates that leave them little variance.

Each drawn word is filtered exactly, so its distribution of the next token has no error, and only the mean over words
has one. What a token adds to the belief state makes this mean vary, and what it adds is known on average: with `s` the
state before a token, `s'` the one after it, and any function `f`, the difference `f(s') - E[f(s') | s]` has the mean
zero. The expectation is a sum over the next token, so it is exact. Such differences are subtracted, with the functions
that predict later entropies best: for each lag `k`, the quadratic form of `s'` that fits the entropy `k` tokens later
in least squares over other drawn words. Those words are not used again, so nothing is biased. What the first states
add is subtracted alike.

Student's distribution gives the error from the differences between words. It takes the mean over words to be normally
distributed, which needs many words; what happens in fewer than one of them may go unseen.

References:
    Henderson and Glynn, "Approximating martingales for variance reduction in Markov process simulation", Mathematics of
    Operations Research 27 (2002) 253.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from ._component_choice import CONFIDENCE
from ._generative_process import GenerativeProcess
from ._presentation import row_entropies

# Numbers that are computed for the words drawn: a few seconds. What a token costs beside the numbers of its state and
# of its control variates counts as so many.
_WORK, _WORK_PER_TOKEN, _WORK_PER_CONTROL = 340_000_000, 40, 120
_MOST_WORDS, _FEWEST_WORDS = 200_000, 500
# Numbers that are held at once.
_ENTRIES_AT_ONCE = 250_000
# A token with less probability than this, given the past, is possible only because of rounding.
_IMPOSSIBLE = 1e-14
# More numbers per token than this cost more than the variance that they save.
_MOST_CONTROL_WORK = 5_000
# Words and tokens for the fit; entropies of so many tokens, one after another, are fitted.
_FIT_WORDS, _FIT_TOKENS, _LAGS = 500, 32, 32
# The entropy rate is the mean over the tokens after the first so many.
_RATE_TOKENS, _EARLY_TOKENS = 1024, 64
# Singular values of the quadratics, relative to the greatest, that are rounding.
_ROUNDING = 1e-9

Control = Float[np.ndarray, "quadratics lags"]


def drawn_entropies(
    process: GenerativeProcess,
    states: Float[np.ndarray, "n num_states"],
    weights: Float[np.ndarray, " n"],
    num_tokens: int,
) -> tuple[Float[np.ndarray, " num_tokens"], Float[np.ndarray, " num_tokens"], float]:
    """The entropies of the tokens that follow one token more than is known, two more, and so on.

    Args:
        process: Any generative process.
        states: What is known so far.
        weights: The probabilities of these states.
        num_tokens: How many entropies.

    Returns:
        The entropies, nats; what each may be off by to either side; and the same for their sum. With the probability
        `CONFIDENCE` all of this holds.
    """
    entropies = _entropies_of_words(process, states, weights, num_tokens)
    # One half of what may fail is for the sum, the other one for all positions together.
    may_fail = (1 - CONFIDENCE) / 2
    errors = _errors(entropies, may_fail / num_tokens)
    (total_error,) = _errors(entropies.sum(axis=1, keepdims=True), may_fail)
    return entropies.mean(axis=0), errors, float(total_error)


def drawn_entropy_rate(process: GenerativeProcess, state: Float[np.ndarray, " num_states"]) -> tuple[float, float]:
    """The mean entropy of late tokens, which stands for the entropy rate.

    Args:
        process: Any generative process.
        state: What is known before the first token.

    Returns:
        The mean, nats per token; and an estimate of its error: that of the mean over words, with the probability
        `CONFIDENCE`, plus what the late tokens may have in excess of the rate. All together, that is taken to be no
        more than the tokens right before them have in excess of it, as where an excess halves from one to the other.
    """
    entropies = _entropies_of_words(process, state[None], np.ones(1), _RATE_TOKENS)
    late, before = entropies[:, _EARLY_TOKENS:], entropies[:, _EARLY_TOKENS // 2 : _EARLY_TOKENS]
    rate = late.mean()
    (error,) = _errors(late.mean(axis=1, keepdims=True), 1 - CONFIDENCE)
    excess = abs(before.mean() - rate) * before.shape[1] / (late.shape[1] - before.shape[1])
    return float(rate), float(error + excess)


def _entropies_of_words(
    process: GenerativeProcess,
    states: Float[np.ndarray, "n num_states"],
    weights: Float[np.ndarray, " n"],
    num_tokens: int,
) -> Float[np.ndarray, "words num_tokens"]:
    """As many words as a few seconds allow, drawn from weighted states: the entropies, less their control variates."""
    # A fixed seed, so that a process always has the same optimum.
    rng = np.random.default_rng(0)
    width, control = process.vocab_size + process.num_states, None
    num_quadratics = process.num_states * (process.num_states + 1) // 2
    control_work = process.vocab_size * (process.num_states + num_quadratics)
    if control_work <= _MOST_CONTROL_WORK:
        width += control_work + _WORK_PER_CONTROL
        control = _fitted_control(process, states, weights, min(num_tokens, _FIT_TOKENS), rng)
    num_words = max(_FEWEST_WORDS, min(_MOST_WORDS, _WORK // (num_tokens * (_WORK_PER_TOKEN + width))))
    chosen = _drawn_starts(weights, num_words, rng)
    parts = np.array_split(chosen, math.ceil(num_words * width / _ENTRIES_AT_ONCE))
    entropies = np.concatenate([_walk(process, states[part], num_tokens, control, rng) for part in parts])
    if control is not None:
        predicted = _surprise_of_starts(states, weights, control)[chosen, :num_tokens]
        entropies[:, : predicted.shape[1]] -= predicted
    return entropies


def drawn_states(
    process: GenerativeProcess,
    states: Float[np.ndarray, "n num_states"],
    weights: Float[np.ndarray, " n"],
    num_words: int,
) -> Iterator[Float[np.ndarray, "num_words num_states"]]:
    """The states of words drawn from weighted states, after one token more, two more, and so on without end.

    Args:
        process: Any generative process.
        states: What is known so far.
        weights: The probabilities of these states.
        num_words: How many words.
    """
    rng = np.random.default_rng(0)
    states = states[_drawn_starts(weights, num_words, rng)]
    while True:
        states = process.successors(states, _draw(_possible(process.token_probabilities(states)), rng))
        yield states


def _errors(entropies: Float[np.ndarray, "words tokens"], may_fail: float) -> Float[np.ndarray, " tokens"]:
    """What each column's mean may be off by, but for this probability."""
    # Here, because it takes a tenth of a second, and most processes' entropies need no drawn words.
    from scipy.special import stdtrit

    num_words = len(entropies)
    quantile = float(-stdtrit(num_words - 1, may_fail / 2))
    return np.std(entropies, axis=0, ddof=1) / math.sqrt(num_words) * quantile


def _drawn_starts(weights: Float[np.ndarray, " n"], num_words: int, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(len(weights), num_words, p=weights / weights.sum())


def _surprise_of_starts(
    states: Float[np.ndarray, "n num_states"], weights: Float[np.ndarray, " n"], control: Control
) -> Float[np.ndarray, "n lags-1"]:
    """The control variates of the states from which words begin, one token before the first entropy."""
    predicted = _quadratics(states) @ control[:, 1:]
    return predicted - weights @ predicted / weights.sum()


def _walk(
    process: GenerativeProcess,
    states: Float[np.ndarray, "words num_states"],
    num_tokens: int,
    control: Control | None,
    rng: np.random.Generator,
) -> Float[np.ndarray, "words num_tokens"]:
    """The entropy of the next token of each word, after one token more and another, less its control variates."""
    entropies = np.zeros((len(states), num_tokens))
    # Equinox makes a bound method anew each time that it is asked for one, which takes as long as a small product.
    token_probabilities, successors = process.token_probabilities, process.successors
    possible = _possible(token_probabilities(states))
    for position in range(num_tokens):
        tokens = _draw(possible, rng)
        after = successors(states, tokens)
        if control is not None:
            surprise = (_quadratics(after) - _expected_quadratics(successors, states, possible)) @ control
            reached = entropies[:, position : position + control.shape[1]]
            reached -= surprise[:, : reached.shape[1]]
        states, probabilities = after, token_probabilities(after)
        entropies[:, position] += row_entropies(probabilities)
        possible = _possible(probabilities)
    return entropies


def _possible(probabilities: Float[np.ndarray, "n vocab"]) -> Float[np.ndarray, "n vocab"]:
    kept = np.where(probabilities > _IMPOSSIBLE, probabilities, 0.0)
    return kept / kept.sum(axis=1, keepdims=True)


def _draw(probabilities: Float[np.ndarray, "n vocab"], rng: np.random.Generator) -> np.ndarray:
    cumulative = probabilities.cumsum(axis=1)
    return (cumulative[:, :-1] <= rng.random((len(probabilities), 1)) * cumulative[:, -1:]).sum(axis=1)


def _quadratics(states: Float[np.ndarray, "n num_states"]) -> Float[np.ndarray, "n quadratics"]:
    """The products of any two entries. The entries of a state have a fixed sum, so linear functions are among them."""
    first, second = np.triu_indices(states.shape[1])
    return states[:, first] * states[:, second]


def _expected_quadratics(
    successors: Callable[..., Any],
    states: Float[np.ndarray, "n num_states"],
    probabilities: Float[np.ndarray, "n vocab"],
) -> Float[np.ndarray, "n quadratics"]:
    """The mean of the quadratics of the next state, over the next token."""
    rows, tokens = np.nonzero(probabilities)
    terms = _quadratics(successors(states[rows], tokens)) * probabilities[rows, tokens][:, None]
    return np.add.reduceat(terms, np.flatnonzero(np.diff(rows, prepend=-1)))


def _fitted_control(
    process: GenerativeProcess,
    states: Float[np.ndarray, "n num_states"],
    weights: Float[np.ndarray, " n"],
    num_tokens: int,
    rng: np.random.Generator,
) -> Control:
    """For each lag, the quadratic form of a state that predicts the entropy so many tokens later.

    That of lag 0 is fitted to entropies, the next one to the expectation of the one before it. Neither has the noise
    of drawn tokens, as later entropies would.
    """
    known, features, entropies, expected = states[_drawn_starts(weights, _FIT_WORDS, rng)], [], [], []
    for _ in range(num_tokens):
        known = process.successors(known, _draw(_possible(process.token_probabilities(known)), rng))
        probabilities = process.token_probabilities(known)
        features.append(_quadratics(known))
        entropies.append(row_entropies(probabilities))
        expected.append(_expected_quadratics(process.successors, known, _possible(probabilities)))
    solve = np.linalg.pinv(np.concatenate(features), rcond=_ROUNDING)
    fits = [solve @ np.concatenate(entropies)]
    one_token_later = solve @ np.concatenate(expected)
    while len(fits) < _LAGS:
        fits.append(one_token_later @ fits[-1])
    return np.stack(fits, axis=1)
