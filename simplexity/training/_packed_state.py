"""The state of a run in a pack, as its own thread sees it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int

from ._state import MetricWindow, Norms, TrainState, norms


class Numbers(NamedTuple):
    """What the host sees of each state after a call: a few bytes, which are copied for all runs of a pack at once."""

    step: Int[Array, "*runs"]
    finite: Bool[Array, "*runs"]
    window: MetricWindow
    norms: Norms


def numbers_of(state: TrainState) -> Numbers:
    """The numbers of a state; to be traced or jitted."""
    return Numbers(state.step, state.finite, state.window, norms(state))


class PackedState:
    """A member's state, as `RunState` says: the numbers are here, and the rest is a row of an array on the device.

    Args:
        numbers: Its own, in the host's memory.
        read_row: Copies the row into arrays of its own; raises once the row has later steps.
        has_empty_window: Whether its window is to be empty, which that of the row is not.
    """

    def __init__(self, numbers: Numbers, read_row: Callable[[], TrainState], has_empty_window: bool = False):
        self._numbers, self.read_row = numbers, read_row
        self._whole: TrainState | None = None
        self.has_empty_window = has_empty_window

    @property
    def step(self) -> Int[np.ndarray, ""]:
        return self._numbers.step  # pyright: ignore[reportReturnType]

    @property
    def finite(self) -> Bool[np.ndarray, ""]:
        return self._numbers.finite  # pyright: ignore[reportReturnType]

    @property
    def window(self) -> MetricWindow:
        return MetricWindow.empty() if self.has_empty_window else self._numbers.window

    def norms(self) -> Norms:
        return self._numbers.norms

    def read(self) -> TrainState:
        """The whole state, kept for whoever else asks for it before the next steps.

        Raises:
            RuntimeError: If the member has taken further steps.
        """
        if self._whole is None:
            whole = self.read_row()
            self._whole = whole.with_empty_window() if self.has_empty_window else whole
        return self._whole

    def with_empty_window(self) -> "PackedState":
        emptied = PackedState(self._numbers, self.read_row, has_empty_window=True)
        if self._whole is not None:
            emptied._whole = self._whole.with_empty_window()
        return emptied

    def release(self) -> None:
        """Gives up the arrays of `read`: the next call needs the memory."""
        self._whole = None
