"""Process 0 of a run, with or without others."""

from pathlib import Path

import jax
import numpy as np
from jax.errors import JaxRuntimeError
from jax.experimental import multihost_utils
from jaxtyping import Array, Int

from simplexity.host import PreemptionGuard
from simplexity.persistence import copy_to_host, fill
from simplexity.training import TrainState, TrainSteps

from ._messages import Followers


class Lead:
    """Leads the processes that train together with this one; where there are none, does nothing.

    Args:
        guard: Installed; asked whether to leave.
    """

    def __init__(self, guard: PreemptionGuard):
        self._guard = guard
        self._followers = Followers(guard) if jax.process_count() > 1 else None

    def begin(self, run_dir: Path) -> None:
        """Lets all processes build what the frozen config in `run_dir` describes."""
        if self._followers is not None:
            self._followers.begin(run_dir)

    def requested(self) -> bool:
        """Whether any of the processes was asked to leave: they all do, at the same step."""
        return self._guard.requested() if self._followers is None else self._followers.requested()

    def gather(self, state: TrainState) -> TrainState | None:
        """All processes, once they are ready, take over `state`; None if the run is asked to leave meanwhile.

        Raises:
            RuntimeError: If one has failed.
        """
        if self._followers is None:
            return state
        if not self._followers.wait_until_ready():
            return None
        self._followers.order(0)
        return taken_over(state)

    def leading(self, train_steps: TrainSteps) -> TrainSteps:
        """`train_steps`, called in all processes."""
        followers = self._followers
        if followers is None:
            return train_steps

        def train_steps_in_all_processes(state: TrainState, num_steps: Int[Array, ""]) -> TrainState:
            followers.order(int(num_steps))
            try:
                return jax.block_until_ready(train_steps(state, num_steps))
            except JaxRuntimeError as error:
                followers.give_up()
                raise RuntimeError(
                    f"the processes of this run cannot take a step together (is one lost?): {error}"
                ) from error

        return train_steps_in_all_processes


def taken_over(state: TrainState) -> TrainState:
    """The state of process 0, bit for bit; all processes call this together, each with a state of its shapes."""
    arrays = copy_to_host(state)
    # As bytes: JAX sends by adding zeros, which turns -0.0 into 0.0.
    sent = {name: np.frombuffer(array.tobytes(), np.uint8) for name, array in arrays.items()}
    received = multihost_utils.broadcast_one_to_all(sent)
    return fill(state, {name: received[name].view(array.dtype).reshape(array.shape) for name, array in arrays.items()})
