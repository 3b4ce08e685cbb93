"""The compiled program of a pack's validations: it scores batches for several members in one call."""

import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError
from jaxtyping import Array, Float, Int, UInt32

from ._pack_programs import Kept, is_out_of_memory
from ._state import TrainState
from ._validation import Score, ValidationArguments
from ._word_vector import WordVector

_log = logging.getLogger("simplexity")

# Validation batches are large, and so few models fill a GPU. Members are rarely all due at the same time, and places
# without a member are computed too.
MOST_PLACES = 16
# A request to stop is seen between calls.
BATCHES_PER_CALL = 8


class BatchesOfRun(NamedTuple):
    """The validation batches that a run wants scored: `num_batches` from batch `first` on.

    `arguments` are the run's, as words in the host's memory.
    """

    run: Hashable
    arguments: UInt32[np.ndarray, " argument_words"]
    first: int
    num_batches: int


class PackScores:
    """Scores validation batches of several models at once, or of half as many where memory is short.

    Args:
        score: From `make_score`: that of one batch of one model.
        arguments: Those of one run: all have the same structure.
        state: That of one run.
        places: How many models a call has at most.
        kept: As of `PackPrograms`.
        one_by_one: Whether to compute the models one after the other within a call.

    Attributes:
        places: The number of models that a call has now.
        write_arguments: Gives a run's arguments as words.
    """

    def __init__(
        self,
        score: Score,
        arguments: ValidationArguments,
        state: TrainState,
        places: int,
        kept: Kept,
        one_by_one: bool,
    ):
        self._score, self._kept, self._one_by_one = score, kept, one_by_one
        self._arguments, self._states = WordVector(arguments), WordVector(state)
        self.write_arguments = eqx.filter_jit(self._arguments.write).lower(arguments).compile()
        self.places = places
        self._program: Callable[..., Any] | None = None
        self._compiling = threading.Lock()

    def require(self) -> None:
        """Returns once there is a program.

        Raises:
            RuntimeError: If there is not enough memory for a single model.
        """
        with self._compiling:
            if self._program is None:
                self._compile()

    def call(
        self, states: UInt32[Array, "places words"], wanted: Sequence[BatchesOfRun]
    ) -> Float[np.ndarray, "places batches 3 sequence_len"] | None:
        """The scores of each run's batches, in the host's memory; `BATCHES_PER_CALL` rows, of which the rest is zero.

        Args:
            states: Of `places` runs, the first of which are those of `wanted`, in the same order.
            wanted: The batches of each.

        Returns:
            None if there was not enough memory: there are half as many places then.

        Raises:
            JaxRuntimeError: If the call fails otherwise, or a single model needs too much memory.
        """
        arguments = np.zeros((len(states), self._arguments.num_words), np.uint32)
        arguments[:] = wanted[0].arguments  # in all rows: a process of zeros need not be one that can be sampled
        first, num_batches = np.zeros((2, len(states)), np.int32)
        for row, batches in enumerate(wanted):
            arguments[row], first[row], num_batches[row] = batches.arguments, batches.first, batches.num_batches
        assert self._program is not None  # `require` has returned
        try:
            return jax.device_get(self._program(arguments, states, first, num_batches))
        except JaxRuntimeError as error:
            if len(states) == 1 or not is_out_of_memory(error):
                raise
        with self._compiling:
            self._halve()
        return None

    def _halve(self) -> None:
        """Compiles for half as many; the lock is held."""
        few = self.places // 2
        _log.warning("validating %d runs together needs more memory than there is: %d at once", self.places, few)
        self.places = few
        self._compile()

    def _compile(self) -> None:
        """Compiles for as many places as memory allows; the lock is held."""
        try:
            program = self._kept(self.places, self._compiled)
        except JaxRuntimeError as error:
            if self.places == 1 or not is_out_of_memory(error):
                raise
            program = None
        if program is None:
            self._halve()
        else:
            self._program = program

    def _compiled(self) -> Callable[..., Any]:
        words = [np.zeros((self.places, vector.num_words), np.uint32) for vector in (self._arguments, self._states)]
        numbers = np.zeros(self.places, np.int32)
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
                jnp.zeros((BATCHES_PER_CALL, *shape)),
            )

        runs = (arguments, states, first, num_batches)
        return jax.lax.map(of_one, runs) if self._one_by_one else jax.vmap(of_one)(runs)
