"""The compiled program of a pack's validations: it scores batches of several members in one call."""

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from ._pack_programs import Kept
from ._state import TrainState
from ._validation import Score, ValidationArguments
from ._word_vector import WordVector

# A request to stop, and members that want their next steps, wait for the end of a call.
_MOST_PLACES = 16


class BatchesOfRun(NamedTuple):
    """The validation batches that a run wants scored: `num_batches` from batch `first` on.

    `arguments` are the run's, as words in the host's memory.
    """

    run: Hashable
    arguments: UInt32[np.ndarray, " argument_words"]
    first: int
    num_batches: int


class ScoreProgram:
    """Scores validation batches of several models in one call, of one model after the other.

    A validation batch is large, and one alone fills a GPU: side by side, the models would need memory for the
    activations of all, and places without a model would take as long as the others.

    Args:
        score: From `make_score`: that of one batch of one model.
        arguments: Those of one run: all have the same structure.
        state: That of one run.
        kept: As of `PackPrograms`, but never returns None.
        batches_per_call: How many batches of a model a call has at most.

    Attributes:
        batches_per_call: As given.
    """

    def __init__(
        self, score: Score, arguments: ValidationArguments, state: TrainState, kept: Kept, batches_per_call: int
    ):
        self._score, self._kept, self.batches_per_call = score, kept, batches_per_call
        self._arguments, self._states = WordVector(arguments), WordVector(state)
        self._programs: dict[int, Callable[..., Any]] = {}
        self._compiling = threading.Lock()

    @property
    def places(self) -> int:
        """The number of models that a call has at most."""
        return max(self._programs)

    def require(self, num_runs: int) -> None:
        """Returns once there is a program with places for `num_runs`, a power of two, or with the most that one has.

        Raises:
            RuntimeError: If it needs more memory than there is.
        """
        size = min(num_runs, _MOST_PLACES)
        with self._compiling:
            if max(self._programs, default=0) < size:
                self._programs[size] = self._kept(size, lambda: self._compiled(size))

    def written(self, arguments: ValidationArguments) -> UInt32[np.ndarray, " argument_words"]:
        """A run's arguments as words in the host's memory."""
        return np.asarray(eqx.filter_jit(self._arguments.write)(arguments))

    def call(
        self, states: UInt32[Array, "places words"], wanted: Sequence[BatchesOfRun]
    ) -> Float[np.ndarray, "places batches 3 sequence_len"]:
        """The scores of each run's batches, in the host's memory; `batches_per_call` rows, of which the rest is zero.

        Args:
            states: Of as many runs as a program has places, the first of which are those of `wanted`, in this order.
            wanted: The batches of each.
        """
        arguments = np.zeros((len(states), self._arguments.num_words), np.uint32)
        first, num_batches = np.zeros((2, len(states)), np.int32)
        for row, batches in enumerate(wanted):
            arguments[row], first[row], num_batches[row] = batches.arguments, batches.first, batches.num_batches
        return jax.device_get(self._programs[len(states)](arguments, states, first, num_batches))

    def _compiled(self, size: int) -> Callable[..., Any]:
        words = [np.zeros((size, vector.num_words), np.uint32) for vector in (self._arguments, self._states)]
        numbers = np.zeros(size, np.int32)
        return eqx.filter_jit(self._scores_of_all).lower(*words, numbers, numbers).compile()

    def _scores_of_all(
        self,
        arguments: UInt32[Array, "places argument_words"],
        states: UInt32[Array, "places words"],
        first: Int[Array, " places"],
        num_batches: Int[Array, " places"],
    ) -> Float[Array, "places batches 3 sequence_len"]:
        def of_one(
            run: tuple[UInt32[Array, " argument_words"], UInt32[Array, " words"], Int[Array, ""], Int[Array, ""]],
        ) -> Float[Array, "batches 3 sequence_len"]:
            given, words, first, number = run
            (generator, key), model = self._arguments.read(given), self._states.read(words).model

            def score(batch: Int[Array, ""]) -> Float[Array, "3 sequence_len"]:
                return self._score(generator, model, key, batch)

            shape = jax.eval_shape(score, first).shape
            return jax.lax.fori_loop(
                0,
                number,
                lambda batch, scores: scores.at[batch].set(score(first + batch)),
                jnp.zeros((self.batches_per_call, *shape)),
            )

        return jax.lax.map(of_one, (arguments, states, first, num_batches))
