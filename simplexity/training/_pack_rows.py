"""The states of a pack's members, which stay on the device: each is a row of an array, and so are its arguments.

Where a program for all members needs more memory than there is, there are several such arrays, each with a call of its
own.

These hold at any time:

- A member has one row at most, from `put` until `remove`, and only its own steps change what the row holds.
- A call replaces an array by a new one. It does not write into the old one, which others may be reading, and which is
  what is left if the call fails.
- Each row holds the state of some run, also where no member is: a program may loop for ever on numbers of no run.
- All that happens to the arrays between calls (`put`, `remove`, a larger or smaller array) happens under one lock. What
  reads a row starts to do so under it too, and so gets either all of the steps of a call or none.
"""

import threading
from collections.abc import Hashable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt32

from ._pack_programs import PackPrograms
from ._packed_state import Numbers
from ._state import TrainState


class StepsOfRun(NamedTuple):
    """The steps that a run wants, and whether its metric window is emptied before them."""

    run: Hashable
    num_steps: int
    empties_window: bool


class _Written(NamedTuple):
    """What a run comes with: arguments and state, as words."""

    arguments: UInt32[Array | np.ndarray, " argument_words"]
    state: UInt32[Array, " words"]


class _Rows:
    """Rows of runs: their states in one array and their arguments in another, and which row each run has."""

    def __init__(
        self, arguments: UInt32[Array, "size argument_words"], states: UInt32[Array, "size words"], row_of: dict
    ):
        self.arguments, self.states = arguments, states
        self.row_of: dict[Hashable, int] = row_of

    @property
    def size(self) -> int:
        return len(self.states)

    def rows_of(self, runs: Sequence[Hashable], size: int) -> Int[np.ndarray, " size"]:
        """The rows of `runs`, and then the first of them again, `size` in all."""
        rows = np.full(size, self.row_of[runs[0]], np.int32)
        rows[: len(runs)] = [self.row_of[run] for run in runs]
        return rows

    def with_runs(self, runs: Sequence[Hashable], size: int) -> "_Rows":
        """Rows of `runs` alone, in arrays with `size` rows, of which those without a run repeat the first."""
        rows = self.rows_of(runs, size)
        return _Rows(
            _take_rows(self.arguments, rows), _take_rows(self.states, rows), {run: row for row, run in enumerate(runs)}
        )

    def put(self, run: Hashable, written: _Written) -> None:
        """Writes a run into its row, or into a free one if it has none."""
        row = self.row_of.get(run)
        if row is None:
            row = min(set(range(self.size)).difference(self.row_of.values()))
        index = np.int32(row)
        self.arguments = _with_row(self.arguments, index, written.arguments)
        self.states = _with_row(self.states, index, written.state)
        self.row_of[run] = row


class PackRows:
    """Takes the steps of runs, whose states it keeps.

    Args:
        programs: What computes them.
    """

    def __init__(self, programs: PackPrograms):
        self._programs = programs
        self._all: list[_Rows] = []
        self._written: dict[Hashable, _Written] = {}
        self._lock = threading.Lock()

    def put(
        self, run: Hashable, arguments: UInt32[Array | np.ndarray, " argument_words"], state: UInt32[Array, " words"]
    ) -> None:
        """Gives a run a row, or its row another state; no call of the run's steps may be pending."""
        with self._lock:
            self._written[run] = _Written(arguments, state)

    def remove(self, run: Hashable) -> None:
        """Gives up a run's row, and an array without runs; no call of the run's steps may be pending."""
        with self._lock:
            self._written.pop(run, None)
            for rows in self._all:
                rows.row_of.pop(run, None)
            self._all = [rows for rows in self._all if rows.row_of]

    def read(self, run: Hashable) -> TrainState:
        """The state of a run that has a row, in arrays of its own."""
        with self._lock:
            rows = self._rows_of(run)
            words = _row_of(rows.states, np.int32(rows.row_of[run]))
        return self._programs.read_state(words)

    def stack(self, runs: Sequence[Hashable], size: int) -> tuple[list[Hashable], UInt32[Array, "size words"]]:
        """The first of `runs`, and others that are in the same array, at most `size` in all; and their states.

        Rows of the result that have no run repeat the first.
        """
        with self._lock:
            self._arrange()
            rows = self._rows_of(runs[0])
            chosen = [run for run in runs if run in rows.row_of][:size]
            return chosen, _take_rows(rows.states, rows.rows_of(chosen, size))

    def run(self, wanted: Sequence[StepsOfRun]) -> list[Numbers]:
        """Takes the steps; returns the numbers of each run's state after them, in the host's memory."""
        numbers: dict[Hashable, Numbers] = {}
        steps_of = {steps.run: steps for steps in wanted}
        while missing := steps_of.keys() - numbers.keys():
            with self._lock:
                self._arrange()
                rows = self._rows_of(next(iter(missing)))
                # A copy: a run that leaves meanwhile takes no steps.
                row_of = {run: row for run, row in rows.row_of.items() if run in missing}
            num_steps, empties_window = np.zeros(rows.size, np.int32), np.zeros(rows.size, np.bool_)
            for run, row in row_of.items():
                num_steps[row], empties_window[row] = steps_of[run].num_steps, steps_of[run].empties_window
            result = self._programs.call(rows.arguments, rows.states, num_steps, empties_window)
            if result is not None:
                with self._lock:
                    rows.states = result[0]
                leaves, structure = jax.tree.flatten(result[1])
                numbers |= {
                    run: jax.tree.unflatten(structure, [leaf[row, ...] for leaf in leaves])
                    for run, row in row_of.items()
                }
        return [numbers[steps.run] for steps in wanted]

    def _rows_of(self, run: Hashable) -> _Rows:
        for rows in self._all:
            if run in rows.row_of:
                return rows
        raise KeyError(run)

    def _arrange(self) -> None:
        """Gives each newcomer a row, and each array as many rows as the program for its runs has places.

        The lock is held.
        """
        largest = self._programs.largest
        known = {run for rows in self._all for run in rows.row_of}
        newcomers = [run for run in self._written if run not in known]
        arranged: list[_Rows] = []
        for rows in self._all:
            runs = list(rows.row_of)
            for part in (runs[first : first + largest] for first in range(0, len(runs), largest)):
                of_part = [newcomers.pop(0) for _ in newcomers[: largest - len(part)]]
                arranged.append(self._resized(rows, part, len(part) + len(of_part)))
                self._write(arranged[-1], [*part, *of_part])
        while newcomers:
            runs, newcomers = newcomers[:largest], newcomers[largest:]
            first, size = self._written[runs[0]], self._programs.size_for(len(runs))
            arguments, states = (jnp.broadcast_to(words, (size, len(words))) for words in first)
            arranged.append(_Rows(arguments, states, {}))
            self._write(arranged[-1], runs)
        self._all = arranged
        # Not before: if memory is too short for an array, the newcomers have no row yet and come again.
        self._written.clear()

    def _resized(self, rows: _Rows, runs: Sequence[Hashable], num_runs: int) -> _Rows:
        size = self._programs.size_for(num_runs)
        return rows if size == rows.size and len(runs) == len(rows.row_of) else rows.with_runs(runs, size)

    def _write(self, rows: _Rows, runs: Sequence[Hashable]) -> None:
        for run in runs:
            if (written := self._written.get(run)) is not None:
                rows.put(run, written)


@jax.jit
def _take_rows(array: UInt32[Array, "size words"], rows: Int[Array, " chosen"]) -> UInt32[Array, "chosen words"]:
    return array[rows]


@jax.jit
def _row_of(array: UInt32[Array, "size words"], row: Int[Array, ""]) -> UInt32[Array, " words"]:
    return jax.lax.dynamic_index_in_dim(array, row, keepdims=False)


# In place: no call computes with the array meanwhile, and whoever has begun to read a row is waited for.
@partial(jax.jit, donate_argnums=0)
def _with_row(
    array: UInt32[Array, "size words"], row: Int[Array, ""], words: UInt32[Array, " words"]
) -> UInt32[Array, "size words"]:
    return array.at[row].set(words)
