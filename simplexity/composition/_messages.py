"""What the processes of one run tell each other, through the key-value store of JAX's coordinator.

Process 0 leads: it alone composes the config, writes files and decides. The others follow: they do what it tells them
to, and tell it when they are ready, when they are asked to leave, and why they failed. Neither waits for the other
within a computation before both are known to be there.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jax._src import distributed
from jax.errors import JaxRuntimeError

from simplexity.cluster import PreemptionGuard

_POLL_S = 0.05
_WAIT_MS = 200
_PREFIX = "simplexity"
_COMMAND, _RUN = f"{_PREFIX}/command", f"{_PREFIX}/run"
_ORDER, _DISMISSED = f"{_PREFIX}/order", f"{_PREFIX}/dismissed"
_READY, _ASKED, _FAILED = f"{_PREFIX}/ready", f"{_PREFIX}/asked", f"{_PREFIX}/failed"
_LOST = f"{_PREFIX}/lost"


class Followers:
    """Process 0's view of the others.

    Args:
        guard: Installed; is asked to leave where a follower is.
    """

    def __init__(self, guard: PreemptionGuard):
        self._store = _store()
        self._count = jax.process_count() - 1
        self._guard = guard
        self._num_orders = 0

    def announce(self, arguments: Sequence[str]) -> None:
        """Tells them this process's arguments, as they came."""
        self._store.key_value_set(_COMMAND, json.dumps(arguments))

    def begin(self, run_dir: Path) -> None:
        """Lets them build what the frozen config in `run_dir` describes."""
        self._store.key_value_set(_RUN, str(run_dir))

    def requested(self) -> bool:
        """Whether this process or a follower was asked to leave."""
        for process, reason in self._messages(_ASKED):
            self._guard.request(f"{reason} in process {process}")
        return self._guard.requested()

    def wait_until_ready(self) -> bool:
        """Waits for all of them; returns False if the run is asked to leave meanwhile.

        Raises:
            RuntimeError: If one has failed.
        """
        while not self.requested():
            for process, reason in self._messages(_FAILED):
                raise RuntimeError(f"process {process} failed: {reason}")
            if len(self._messages(_READY)) == self._count:
                return True
            time.sleep(_POLL_S)
        return False

    def order(self, num_steps: int) -> None:
        """Makes them take `num_steps` steps, in which this process must join. The first order is to take its state."""
        self._store.key_value_set(f"{_ORDER}/{self._num_orders}", str(num_steps))
        if self._num_orders > 0:
            # The one before was carried out by all: otherwise this process would not be here.
            self._store.key_value_delete(f"{_ORDER}/{self._num_orders - 1}")
        self._num_orders += 1

    def dismiss(self, exit_code: int) -> None:
        """Makes them leave with `exit_code`."""
        self._store.key_value_set(f"{_DISMISSED}/by", str(exit_code))

    def give_up(self) -> None:
        """Notes that one is lost."""
        self._store.key_value_set(f"{_LOST}/one", "")

    def are_lost(self) -> bool:
        """Whether one is lost, so that there is no point in waiting for all."""
        return bool(self._messages(_LOST))

    def _messages(self, folder: str) -> list[tuple[str, str]]:
        return [(key.rpartition("/")[2], value) for key, value in self._store.key_value_dir_get(f"{folder}/")]


class Leader:
    """Process 0, as another process sees it.

    Args:
        guard: Installed; where it is asked to leave, process 0 is told, which decides.
    """

    def __init__(self, guard: PreemptionGuard):
        self._store = _store()
        self._process_id = jax.process_index()
        self._guard = guard
        self._num_orders = 0
        self._has_asked = False

    def wait_for_run(self, arguments: Sequence[str]) -> Path | None:
        """The run's directory, whose config is frozen; None if there is nothing to do.

        Args:
            arguments: This process's.

        Raises:
            RuntimeError: If the tasks were given different commands: they should have been steps of their own.
        """
        command = self._receive(_COMMAND)
        if command is not None and json.loads(command) != arguments:
            raise RuntimeError(
                "its arguments are others than those of process 0, and the tasks of a step train one run together; "
                "start each run with an `srun --ntasks=1` of its own"
            )
        run_dir = self._receive(_RUN)
        return None if run_dir is None else Path(run_dir)

    def report_ready(self) -> None:
        """Says that this process waits for orders."""
        self._store.key_value_set(f"{_READY}/{self._process_id}", "")

    def report_failure(self, reason: str) -> None:
        """Says that this process will carry out no more orders."""
        self._store.key_value_set(f"{_FAILED}/{self._process_id}", reason)

    def next_order(self) -> int | None:
        """How many steps to take; None if this process is dismissed."""
        text = self._receive(f"{_ORDER}/{self._num_orders}")
        self._num_orders += 1
        return None if text is None else int(text)

    def requested(self) -> bool:
        """Whether this process is dismissed. Passes on what this process itself is asked."""
        if self._guard.requested() and not self._has_asked:
            self._has_asked = True
            self._store.key_value_set(f"{_ASKED}/{self._process_id}", str(self._guard.reason))
        return bool(self._store.key_value_dir_get(f"{_DISMISSED}/"))

    def wait_for_dismissal(self) -> int:
        """The exit code that process 0 leaves with."""
        while not self.requested():
            time.sleep(_POLL_S)
        return int(self._store.key_value_dir_get(f"{_DISMISSED}/")[0][1])

    def _receive(self, key: str) -> str | None:
        """Waits for a message; None if this process is dismissed."""
        while not self.requested():
            try:
                return self._store.blocking_key_value_get(key, _WAIT_MS)
            except JaxRuntimeError as error:
                if not str(error).startswith("DEADLINE_EXCEEDED"):
                    raise
        return None


def _store() -> Any:
    # JAX shows it to nobody; Orbax takes it from the same place.
    return distributed.global_state.client
