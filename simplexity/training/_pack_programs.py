"""The compiled programs of a pack: each takes the training steps of as many runs as it has places."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError
from jaxtyping import Array, Int, UInt32

from ._compiler_options import compiler_options
from ._state import TrainState
from ._step import StepArguments, StepFunction
from ._word_vector import WordVector

_log = logging.getLogger("simplexity")


class StepsOfRun(NamedTuple):
    """The steps that a run wants: its program's arguments and its state, both as words, and the number of steps."""

    arguments: UInt32[Array, " argument_words"]
    state: UInt32[Array, " words"]
    num_steps: int


class PackPrograms:
    """Programs with places for 1, 2, 4 ... runs.

    If one needs more memory than there is, programs have at most half as many places from then on, and a call for more
    runs is several calls. No run is harmed: a program does not change the states that it is given.

    Args:
        train_steps: The step function that all runs have.
        arguments: Those of one run: all have the same structure.
        state: That of one run.
        kept: Gets a program's number of places, and what compiles it; returns the program, which may be an earlier one,
            or None if it needs more memory than there is.
        one_by_one: Whether to compute the runs one after the other within a call.
    """

    def __init__(
        self,
        train_steps: StepFunction,
        arguments: StepArguments,
        state: TrainState,
        kept: Callable[[int, Callable[[], Any]], Any],
        one_by_one: bool,
    ):
        self._train_steps = train_steps
        self._kept = kept
        self._one_by_one = one_by_one
        self._arguments, self._states = WordVector(arguments), WordVector(state)
        # Compiled here once: the threads of the runs would do so all at the same time.
        self.write_arguments = eqx.filter_jit(self._arguments.write).lower(arguments).compile()
        self.write_state = eqx.filter_jit(self._states.write).lower(state).compile()
        self.read_state = eqx.filter_jit(self._states.read).lower(self.write_state(state)).compile()
        self._programs: dict[int, Callable[..., Any]] = {}
        self._most: int | None = None
        self._compiling = threading.Lock()

    @property
    def sizes(self) -> list[int]:
        """The numbers of places of the programs, in ascending order."""
        return sorted(self._programs)

    def require(self, num_runs: int, num_wanted: Callable[[], int]) -> None:
        """Returns once there is a program for `num_runs`, or for as many of them as memory allows.

        Args:
            num_runs: Should have a place.
            num_wanted: The number of places that a new program gets.

        Raises:
            RuntimeError: If there is not enough memory for a single run.
        """
        with self._compiling:
            if max(self._programs, default=0) < self._at_most(num_runs):
                self._compile(num_wanted())

    def add_smaller(self, num_wanted: Callable[[], int]) -> None:
        """Compiles the program with fewer places, unless another thread compiles one, or memory is short meanwhile."""
        if self._compiling.acquire(blocking=False):
            try:
                if (size := self._at_most(num_wanted())) not in self._programs:
                    self._add(size, self._compiled(size))
            except JaxRuntimeError as error:
                # The larger program, which may be computing, will do.
                if not _is_out_of_memory(error):
                    raise
            finally:
                self._compiling.release()

    def run(self, wanted: Sequence[StepsOfRun]) -> list[UInt32[Array, " words"]]:
        """The states of runs after the steps that they want."""
        states: list[UInt32[Array, " words"]] = []
        while rest := wanted[len(states) :]:
            programs = dict(self._programs)
            size = min((size for size in programs if size >= len(rest)), default=max(programs))
            try:
                states += _run_together(programs[size], rest[:size], size)
            except JaxRuntimeError as error:
                if size == 1 or not _is_out_of_memory(error):
                    raise
                with self._compiling:
                    self._halve(size)
                    self._compile(size)
        return states

    def _at_most(self, size: int) -> int:
        return size if self._most is None else min(size, self._most)

    def _halve(self, size: int) -> None:
        """From now on programs have fewer than `size` places; the lock of compiling is held."""
        _log.warning(
            "%d runs together need more memory than there is: at most %d are computed at once", size, size // 2
        )
        self._most = self._at_most(size // 2)

    def _compile(self, size: int) -> None:
        """Adds the program with `size` places, or with as many as memory allows; the lock of compiling is held."""
        size = self._at_most(size)
        try:
            program = self._compiled(size)
        except JaxRuntimeError as error:
            if size == 1 or not _is_out_of_memory(error):
                raise
            program = None
        if program is None:
            self._halve(size)
            self._compile(size)
        else:
            self._add(size, program)

    def _add(self, size: int, program: Callable[..., Any] | None) -> None:
        """Adds a program, and removes those that have failed for want of memory."""
        fitting = {number: other for number, other in self._programs.items() if number == self._at_most(number)}
        self._programs = fitting | ({} if program is None else {size: program})

    def _compiled(self, size: int) -> Callable[..., Any] | None:
        """The program with `size` places; None if it needs more memory than there is.

        XLA itself needs memory on a GPU, where it tries out which of its kernels is the quickest: a JaxRuntimeError
        says that there was none.
        """

        def compiled() -> Callable[..., Any]:
            arguments, states = (
                [jnp.zeros(vector.num_words, jnp.uint32)] * size for vector in (self._arguments, self._states)
            )
            # filter_jit hands arguments that it does not know to jax.jit.
            program = eqx.filter_jit(self._steps_of_all, compiler_options=compiler_options())  # pyright: ignore
            return program.lower(arguments, states, np.zeros(size, np.int32)).compile()

        return self._programs.get(size) or self._kept(size, compiled)

    def _steps_of_all(
        self,
        arguments: list[UInt32[Array, " argument_words"]],
        states: list[UInt32[Array, " words"]],
        num_steps: Int[Array, " runs"],
    ) -> list[UInt32[Array, " words"]]:
        def of_one(
            run: tuple[UInt32[Array, " argument_words"], UInt32[Array, " words"], Int[Array, ""]],
        ) -> UInt32[Array, " words"]:
            given, state, number = run
            after = self._train_steps(self._arguments.read(given), self._states.read(state), number)
            return self._states.write(after)

        stacked = (jnp.stack(arguments), jnp.stack(states), num_steps)
        after = jax.lax.map(of_one, stacked) if self._one_by_one else jax.vmap(of_one)(stacked)
        return list(after)


def _is_out_of_memory(error: Exception) -> bool:
    return str(error).startswith("RESOURCE_EXHAUSTED")


def _run_together(
    program: Callable[..., Any], wanted: Sequence[StepsOfRun], num_places: int
) -> list[UInt32[Array, " words"]]:
    # An empty place repeats the first run, and takes no steps.
    empty = [wanted[0]._replace(num_steps=0)] * (num_places - len(wanted))
    arguments, states, num_steps = zip(*wanted, *empty, strict=True)
    states = program(list(arguments), list(states), np.array(num_steps, np.int32))
    return jax.block_until_ready(states)[: len(wanted)]
