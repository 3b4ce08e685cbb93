"""The compiled programs of a pack: each takes the training steps of as many runs as it has places."""

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError
from jaxtyping import Array, Bool, Int, UInt32

from ._packed_state import Numbers, numbers_of
from ._state import MetricWindow, TrainState
from ._step import StepArguments, StepFunction
from ._word_vector import WordVector

_log = logging.getLogger("simplexity")

Kept = Callable[[int, Callable[[], Any]], Any]
"""`kept(size, compiled)` gives a program for `size` runs: what `compiled()` returns, or an earlier one."""


class PackPrograms:
    """Programs with places for 1, 2, 4 ... runs.

    If one needs more memory than there is, programs have at most half as many places from then on. A program does not
    change the arrays that it is given, so a call that fails harms no run.

    Args:
        train_steps: The step function that all runs have.
        arguments: Those of one run: all have the same structure.
        state: That of one run.
        kept: Gets a program's number of places, and what compiles it; returns the program, which may be an earlier one,
            or None if it needs more memory than there is.
        compiler_options: XLA's for the step function.
        one_by_one: Whether to compute the runs one after the other within a call.
    """

    def __init__(
        self,
        train_steps: StepFunction,
        arguments: StepArguments,
        state: TrainState,
        kept: Kept,
        compiler_options: Mapping[str, bool | int | str],
        one_by_one: bool,
    ):
        self._train_steps = train_steps
        self._kept = kept
        self._compiler_options, self._one_by_one = compiler_options, one_by_one
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

    @property
    def largest(self) -> int:
        """The number of places of the largest program."""
        return max(self._programs)

    def size_for(self, num_runs: int) -> int:
        """The number of places of the smallest program with at least `num_runs`, or of the largest one."""
        sizes = self.sizes
        return next((size for size in sizes if size >= num_runs), sizes[-1])

    def call(
        self,
        arguments: UInt32[Array, "runs argument_words"],
        states: UInt32[Array, "runs words"],
        num_steps: Int[np.ndarray, " runs"],
        empties_window: Bool[np.ndarray, " runs"],
    ) -> tuple[UInt32[Array, "runs words"], Numbers] | None:
        """The states after the steps, and their numbers in the host's memory.

        Args:
            arguments: Of each run.
            states: Of each run.
            num_steps: Of each run; 0 leaves its state as it is.
            empties_window: Whether a run's metric window is emptied before its steps.

        Returns:
            None if there was not enough memory: there is a program for half as many runs then.

        Raises:
            JaxRuntimeError: If the call fails otherwise, or a single run needs too much memory.
        """
        size = len(num_steps)
        try:
            after, numbers = self._programs[size](arguments, states, num_steps, empties_window)
            # Waits for all of them, so that an error is one of this call.
            return jax.block_until_ready(after), jax.device_get(numbers)
        except JaxRuntimeError as error:
            if size == 1 or not _is_out_of_memory(error):
                raise
        with self._compiling:
            self._halve(size)
            self._compile(size)
        return None

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
            like = (
                np.zeros((size, self._arguments.num_words), np.uint32),
                np.zeros((size, self._states.num_words), np.uint32),
                np.zeros(size, np.int32),
                np.zeros(size, np.bool_),
            )
            # filter_jit hands arguments that it does not know to jax.jit.
            program = eqx.filter_jit(self._steps_of_all, compiler_options=dict(self._compiler_options))  # pyright: ignore
            return program.lower(*like).compile()

        return self._programs.get(size) or self._kept(size, compiled)

    def _steps_of_all(
        self,
        arguments: UInt32[Array, "runs argument_words"],
        states: UInt32[Array, "runs words"],
        num_steps: Int[Array, " runs"],
        empties_window: Bool[Array, " runs"],
    ) -> tuple[UInt32[Array, "runs words"], Numbers]:
        def of_one(
            run: tuple[UInt32[Array, " argument_words"], UInt32[Array, " words"], Int[Array, ""], Bool[Array, ""]],
        ) -> tuple[UInt32[Array, " words"], Numbers]:
            given, words, number, empties = run
            state = self._states.read(words)
            window = jax.tree.map(partial(jnp.where, empties), MetricWindow.empty(), state.window)
            state = eqx.tree_at(lambda state: state.window, state, window)
            after = self._train_steps(self._arguments.read(given), state, number)
            return self._states.write(after), numbers_of(after)

        runs = (arguments, states, num_steps, empties_window)
        return jax.lax.map(of_one, runs) if self._one_by_one else jax.vmap(of_one)(runs)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether XLA's error says that it got no memory."""
    return str(error).startswith("RESOURCE_EXHAUSTED")
