"""Process 0 of a run, which coordinates the other processes where there are any."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.errors import JaxRuntimeError
from jax.experimental import multihost_utils

from simplexity.host import PreemptionGuard
from simplexity.persistence import copy_to_host, fill
from simplexity.training import RunState, TrainState, TrainSteps

from ._messages import ToWorkers


class Coordinator:
    """Lets the worker processes of a run do what this one does; where there are none, does nothing.

    Args:
        guard: Installed.
    """

    def __init__(self, guard: PreemptionGuard):
        self._guard = guard
        self._workers = ToWorkers(guard) if jax.process_count() > 1 else None

    def begin(self, run_dir: Path) -> None:
        """Lets all processes build what the frozen config in `run_dir` describes."""
        if self._workers is not None:
            self._workers.begin(run_dir)

    def requested(self) -> bool:
        """Whether a stop was requested in any of the processes: all of them then stop, at the same step."""
        return self._guard.requested() if self._workers is None else self._workers.requested()

    def share(self, state: TrainState) -> TrainState | None:
        """Gives `state` to all processes once they are ready; None if a stop is requested meanwhile.

        Raises:
            RuntimeError: If one has failed.
        """
        if self._workers is None:
            return state
        if not self._workers.wait_until_ready():
            return None
        self._workers.command(0)
        return broadcast_state(state)

    def in_all_processes(self, train_steps: TrainSteps) -> TrainSteps:
        """`train_steps`, called in all processes of the run."""
        workers = self._workers
        if workers is None:
            return train_steps

        def train_steps_together(state: Any, num_steps: int) -> RunState:
            workers.command(num_steps)
            try:
                return jax.block_until_ready(train_steps(state, num_steps))
            except JaxRuntimeError as error:
                workers.mark_lost()
                raise RuntimeError(
                    f"the processes of this run cannot take a step together (is one lost?): {error}"
                ) from error

        return train_steps_together


def broadcast_state(state: TrainState) -> TrainState:
    """The state of process 0, bit for bit; all processes call this together, each with a state of its shapes."""
    arrays = copy_to_host(state)
    # As bytes: JAX sends by adding zeros, which turns -0.0 into 0.0.
    sent = {name: np.frombuffer(array.tobytes(), np.uint8) for name, array in arrays.items()}
    received = multihost_utils.broadcast_one_to_all(sent)
    return fill(state, {name: received[name].view(array.dtype).reshape(array.shape) for name, array in arrays.items()})
