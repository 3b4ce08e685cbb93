"""Processes that read like a language: days of the week, names in a story, parentheses."""

from collections.abc import Sequence

import numpy as np

from ._checks import LEAST_RATE, check_interval, check_sum_at_most_one
from ._hmm import HMM


def days_of_week() -> HMM:
    """Sentences that keep naming a day: seven hidden days, eleven tokens.

    The hidden state is the day spoken of. Tokens 0 to 6, Monday to Sunday, name the day that is spoken of next; the day
    after the present one is five times as likely as any other token. Token 7 ("tomorrow") and 8 ("yesterday") move by a
    day; token 9 ("weekend") and 10 ("weekday") go to a random day of that kind, which the token alone does not tell. In
    fifteenths: 5 for the next day's name, 1 for each of the other ten tokens.

    The stationary distribution solves `15 pi_j = 1 + 5 pi_(j-1) + pi_(j+1) + c_j`, indices modulo 7, with `c_j` 1/5 for
    a weekday and 1/2 for a day of the weekend. The entropy rate has no closed form; it exceeds that of a token given
    the day, `(5 log 3 + 10 log 15) / 15` nats, which observers who always knew the day would see.

    References:
        A toy language of this project.
    """
    tomorrow, yesterday, weekend, weekday = range(7, 11)
    matrices = np.zeros((11, 7, 7))
    for day in range(7):
        matrices[day, :, day] = 1
        matrices[day, day - 1, day] = 5
        matrices[tomorrow, day - 1, day] = 1
        matrices[yesterday, day, day - 1] = 1
    matrices[weekday, :, :5] = 1 / 5
    matrices[weekend, :, 5:] = 1 / 2
    return HMM(matrices / 15)


def mr_name(p: float, q: float) -> HMM:
    """A story in which "Mr." is always followed by a name, and whatever else is said says nothing.

    The tokens "Mr.", "Something", "Blah" and the name (0 to 3) are also the states: a Markov chain. "Mr." is followed
    by the name, and the name by one of the two fillers with equal probability. A filler is followed by "Mr." with
    probability `q`, by the other filler with `p`, else by itself. Two of these processes, which share all tokens but
    the name, make a non-ergodic mixture: after the first name, the model should expect no other.

    Stationary distribution `[2 q, 1, 1, 2 q] / (2 + 4 q)`; entropy rate
    `(q log 2 - q log q - p log p - r log r) / (1 + 2 q)` nats with `r = 1 - p - q`.

    Args:
        p: The probability to change the filler, in [0, 1].
        q: The probability that a name comes next, in [1e-12, 1]; `p + q` is at most 1.

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        A toy language of this project.
    """
    check_interval(0.0, 1.0, p=p)
    check_interval(LEAST_RATE, 1.0, q=q)
    check_sum_at_most_one({"p": p, "q": q})
    mister, something, blah, name = range(4)
    chain = np.zeros((4, 4))
    chain[mister, name] = 1
    chain[name, [something, blah]] = 0.5
    chain[[something, blah], mister] = q
    chain[[something, blah], [blah, something]] = p
    chain[[something, blah], [something, blah]] = max(0.0, 1 - p - q)
    # Every step emits the state that it arrives at.
    return HMM(np.einsum("ij,jx->xij", chain, np.eye(4)))


def matching_parens(open_probs: Sequence[float]) -> HMM:
    """Parentheses that match, nested up to a greatest depth: token 0 opens one, token 1 closes one.

    The hidden state is the depth. At depth `d` the process opens with probability `open_probs[d]`; at the depth
    `len(open_probs)` it can only close. Sequences are windows on an endless text: they begin at a depth drawn from the
    stationary distribution, so parentheses opened before the window may be closed in it.

    The stationary distribution satisfies `pi_(d+1) / pi_d = open_probs[d] / (1 - open_probs[d+1])` (a birth-death
    chain); the process is unifilar, with entropy rate `sum_d pi_d H(open_probs[d])`.

    Args:
        open_probs: The probabilities to open at depths 0, 1, 2, ...; the first is 1, since nothing is open to be
            closed, the others lie in (0, 1).

    Raises:
        ValueError: If the list is empty, or a probability lies outside its domain.

    References:
        Hewitt et al., RNNs can generate bounded hierarchical languages with optimal memory (2020), arXiv:2010.07515:
        bounded Dyck languages, here with one kind of bracket.
    """
    if not len(open_probs) or open_probs[0] != 1:
        raise ValueError(
            f"`open_probs` must begin with 1, since at depth 0 there is nothing to close, got {list(open_probs)}"
        )
    for depth, probability in enumerate(open_probs[1:], start=1):
        check_interval(0.0, 1.0, low_open=True, high_open=True, **{f"open_probs[{depth}]": probability})
    probabilities = np.array([*open_probs, 0.0])
    return HMM(np.stack([np.diag(probabilities[:-1], k=1), np.diag(1 - probabilities[1:], k=-1)]))
