"""The mixed-state presentation as an object: which belief states there are, and which token leads from one to another.

`_mixed_states.py` walks the same presentation for its entropies alone, and merges what lies close where there is too
much of it. Here nothing is approximated: states are one where they agree to within a stated tolerance.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ._generative_process import GenerativeProcess

if TYPE_CHECKING:
    from scipy.sparse import coo_array

IMPOSSIBLE = -1
"""In place of a successor: the token cannot follow."""
BEYOND = -2
"""In place of a successor: it lies deeper than the presentation was followed."""
# A token with less probability than this is one that rounding makes possible.
_LEAST_PROBABILITY = 1e-14


class MixedStatePresentation(NamedTuple):
    """Belief states (of a GHMM predictive vectors) that an observer who sees the tokens passes through.

    References:
        Upper, "Theory and algorithms for hidden Markov models and generalized hidden Markov models" (1997), chapter 2.
    """

    states: Float[np.ndarray, "mixed num_states"]
    """In the order in which they are met; the first is the process's initial state."""
    depths: Int[np.ndarray, " mixed"]
    """The number of tokens after which each is met first."""
    probabilities: Float[np.ndarray, "mixed vocab"]
    """Of the next token."""
    successors: Int[np.ndarray, "mixed vocab"]
    """The state after each token, or `IMPOSSIBLE`, or `BEYOND`."""
    process: GenerativeProcess
    """Whose states these are."""

    @property
    def is_closed(self) -> bool:
        """Whether these are all the mixed states of the process."""
        return bool((self.successors != BEYOND).all())

    @property
    def is_recurrent(self) -> Bool[np.ndarray, " mixed"]:
        """Which states are visited again and again; the others are transient: an observer on the way to these.

        Raises:
            ValueError: If the presentation is not closed.
        """
        from scipy.sparse.csgraph import connected_components

        self._require_closed()
        num_parts, part = connected_components(self._edges(), connection="strong")
        sources, targets = self._edges().coords
        leaves = np.zeros(num_parts, dtype=bool)
        leaves[part[sources[part[sources] != part[targets]]]] = True
        return ~leaves[part]

    def num_words(self, depth: int) -> int:
        """The number of possible words of up to `depth` tokens, the empty one included.

        In the tree of words each is a node of its own; here those that lead to one belief state are one. At depth 4:
        fanizza(2000, 0.49) has 31 words that lead to 9 states, mess3(0.15, 0.6) 121 to 121, post_quantum(2.7, 0.5) 94
        to 25, rrxor(0.5, 0.5) 31 to 27, tom_quantum(1, 4.3) 341 to 161, zero_one_random(0.5) 21 to 7.
        """
        counts, total = np.zeros(len(self.states), dtype=np.int64), 1
        counts[0] = 1
        for _ in range(depth):
            counts = self._step(counts, np.where(self.successors >= 0, 1, 0))
            total += int(counts.sum())
        return total

    def occupation(self, length: int) -> Float[np.ndarray, "times mixed"]:
        """The probability to be in each state after 0, 1, ... `length` tokens.

        Raises:
            ValueError: If the presentation was not followed so far.
        """
        if not self.is_closed and length > self.depths.max():
            raise ValueError(
                f"`length` must be at most {self.depths.max()}, the depth of the presentation, got {length}"
            )
        rows = [np.zeros(len(self.states))]
        rows[0][0] = 1.0
        for _ in range(length):
            rows.append(self._step(rows[-1], self.probabilities))
        return np.stack(rows)

    def myopic_entropies(self, length: int) -> Float[np.ndarray, " length"]:
        """`H(X_t | X_1 ... X_{t-1})` for t = 1..length, nats. Their running sums are the block entropies.

        Raises:
            ValueError: If the presentation was not followed to `length - 1` tokens.
        """
        if length == 0:
            return np.zeros(0)
        return self.occupation(length - 1) @ row_entropies(self.probabilities)

    def synchronization(self, length: int) -> Float[np.ndarray, " times"]:
        """How uncertain the hidden state is after 0, 1, ... tokens, `H(S_t | X_1 ... X_t)` in nats, of an HMM.

        Raises:
            ValueError: If the states are no distributions, or the presentation was not followed so far.
        """
        if (self.states < 0).any() or np.abs(self.states.sum(axis=1) - 1).max() > 1e-9:
            raise ValueError("these are predictive vectors: only the hidden state of an HMM can be uncertain")
        return self.occupation(length) @ row_entropies(self.states)

    def excess_entropy(self) -> float:
        """The information that the past has of the future, `sum_t (h(t) - h)`, nats, of a stationary process.

        With `P` the chain of the states, `pi` its stationary distribution, `p` the certainty of the first state and `e`
        the states' entropies, the sum is `(p - pi) (1 - P + 1 pi)^-1 e`: the fundamental matrix of the chain.

        Raises:
            ValueError: If the presentation is not closed.

        References:
            Kemeny and Snell, "Finite Markov chains" (1960), section 4.3.
        """
        self._require_closed()
        stationary = self.stationary_occupation()
        fundamental = np.eye(len(self.states)) - self._chain() + stationary
        until_then = np.linalg.solve(fundamental, row_entropies(self.probabilities))
        return float(until_then[0] - stationary @ until_then)

    def stationary_occupation(self) -> Float[np.ndarray, " mixed"]:
        """How often each state is visited in the long run, of an ergodic process.

        Raises:
            ValueError: If the presentation is not closed.
        """
        recurrent = np.flatnonzero(self.is_recurrent)
        inner = self._chain()[np.ix_(recurrent, recurrent)]
        # x (P - 1) = 0 and sum x = 1, in the least-squares sense: the one solution of an irreducible chain.
        system = np.vstack([inner.T - np.eye(len(inner)), np.ones(len(inner))])
        solution = np.linalg.lstsq(system, np.append(np.zeros(len(inner)), 1.0))[0]
        stationary = np.zeros(len(self.states))
        stationary[recurrent] = np.maximum(solution, 0.0) / np.maximum(solution, 0.0).sum()
        return stationary

    def _require_closed(self) -> None:
        if not self.is_closed:
            raise ValueError(
                f"the presentation is not closed: {len(self.states)} states up to depth {self.depths.max()}, and more "
                "beyond; a greater `depth` may close it, unless the process has infinitely many"
            )

    def _edges(self) -> "coo_array":
        from scipy.sparse import coo_array

        sources, tokens = np.nonzero(self.successors >= 0)
        targets = self.successors[sources, tokens]
        return coo_array((np.ones(len(sources)), (sources, targets)), shape=(len(self.states),) * 2)

    def _chain(self) -> Float[np.ndarray, "mixed mixed"]:
        """The probability of each state to be followed by each other."""
        chain = np.zeros((len(self.states),) * 2)
        sources, tokens = np.nonzero(self.successors >= 0)
        np.add.at(chain, (sources, self.successors[sources, tokens]), self.probabilities[sources, tokens])
        return chain

    def _step(self, amounts: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """What each state receives when each sends its amount on by every token, times that token's share."""
        sources, tokens = np.nonzero(self.successors >= 0)
        received = np.zeros_like(amounts)
        np.add.at(received, self.successors[sources, tokens], amounts[sources] * shares[sources, tokens])
        return received


def mixed_state_presentation(
    process: GenerativeProcess, depth: int, *, tolerance: float = 1e-9, max_states: int = 200_000
) -> MixedStatePresentation:
    """Follows a process's mixed states from its initial state, breadth first.

    Args:
        process: Any generative process.
        depth: The number of tokens to follow; fewer where no new states are met any more.
        tolerance: States whose entries all agree to within this, relative to the greatest entry of the initial state
            where that is above one, are taken for one.
        max_states: Where a further depth would have more, the presentation ends before it.

    Raises:
        ValueError: If `depth` is negative.

    Example:
        >>> from simplexity.generative_processes import rrxor
        >>> presentation = mixed_state_presentation(rrxor(0.5, 0.5), depth=20)
        >>> len(presentation.states), presentation.is_closed, presentation.is_recurrent.sum()
        (36, True, np.int64(5))
    """
    if depth < 0:
        raise ValueError(f"`depth` must be at least 0, got {depth}")
    distance = tolerance * max(1.0, float(np.abs(process.initial_state).max()))
    states, depths = process.initial_state[None], np.zeros(1, dtype=np.int64)
    successors: list[Int[np.ndarray, "mixed vocab"]] = []
    frontier = states
    for reached in range(depth + 1):
        # The normalised state after each possible token.
        possible = process.token_probabilities(frontier) > _LEAST_PROBABILITY
        rows, tokens = np.nonzero(possible)
        after = process.successors(frontier[rows], tokens)
        known = _numbers(after, states, distance)
        unknown, new = known == BEYOND, after[:0]
        # At the last depth most time would be spent on new states that are left out.
        if reached < depth and unknown.any():
            groups, distinct = _distinct(after[unknown], distance)
            if len(states) + len(distinct) <= max_states:
                known[unknown], new = len(states) + groups, distinct
        level = np.full(possible.shape, IMPOSSIBLE)
        level[possible] = known
        successors.append(level)
        if len(new) == 0:
            break
        states = np.concatenate([states, new])
        depths = np.concatenate([depths, np.full(len(new), reached + 1)])
        frontier = new
    probabilities = process.token_probabilities(states)
    return MixedStatePresentation(states, depths, probabilities, np.concatenate(successors), process)


def _numbers(
    vectors: Float[np.ndarray, "n num_states"], known: Float[np.ndarray, "mixed num_states"], distance: float
) -> Int[np.ndarray, " n"]:
    """The number of each vector among the known ones; `BEYOND` where it is none of them."""
    # A fifth of a second, which only those wait for who ask for a presentation.
    from scipy.spatial import KDTree

    distances, nearest = KDTree(known).query(vectors, p=np.inf, distance_upper_bound=distance)
    return np.where(np.isfinite(distances), nearest, BEYOND)


def _distinct(
    vectors: Float[np.ndarray, "n num_states"], distance: float
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "distinct num_states"]]:
    """The vectors without repetitions, in the order in which they are met; and the number of each among these."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    pairs = KDTree(vectors).query_pairs(distance, p=np.inf, output_type="ndarray")
    equal = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(vectors),) * 2)
    _, groups = connected_components(equal, directed=False)
    first = np.unique(groups, return_index=True)[1]
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[groups], vectors[np.sort(first)]


def row_entropies(distributions: Float[np.ndarray, "rows n"]) -> Float[np.ndarray, " rows"]:
    """Shannon's, nats, of each row."""
    return -(distributions * np.log(np.where(distributions > 0, distributions, 1.0))).sum(axis=1)
