"""What the processes of one run tell each other, through the key-value store of JAX's coordinator.

Process 0 leads: it alone composes the config, writes files and decides. The others follow: they do what it tells
them to, and tell it when they are ready, when they are asked to leave, and why they failed. Neither waits for the other
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

from simplexity.host import PreemptionGuard

_POLL_S = 0.05
_WAIT_MS = 200


class _Store:
    """Key-value pairs that all processes see."""

    def __init__(self):
        # JAX shows it to nobody; Orbax takes it from the same place.
        self._client: Any = distributed.global_state.client

    def put(self, key: str, value: str | int | list[str]) -> None:
        # JSON, because gRPC takes no string that is not UTF-8, and a path may be none.
        self._client.key_value_set(f"simplexity/{key}", json.dumps(value))

    def delete(self, key: str) -> None:
        self._client.key_value_delete(f"simplexity/{key}")

    def within(self, folder: str) -> dict[str, Any]:
        """What is there under the keys `folder/NAME`, by NAME."""
        pairs = self._client.key_value_dir_get(f"simplexity/{folder}/")
        return {key.rpartition("/")[2]: json.loads(text) for key, text in pairs}

    def wait_for(self, key: str) -> Any:
        """Waits a moment for a value; None if there is none yet."""
        try:
            return json.loads(self._client.blocking_key_value_get(f"simplexity/{key}", _WAIT_MS))
        except JaxRuntimeError as error:
            if not str(error).startswith("DEADLINE_EXCEEDED"):
                raise
            return None


class Followers:
    """Process 0's view of the others.

    Args:
        guard: Installed; is asked to leave where a follower is.
    """

    def __init__(self, guard: PreemptionGuard):
        self._store = _Store()
        self._count = jax.process_count() - 1
        self._guard = guard
        self._num_orders = 0

    def announce(self, arguments: Sequence[str]) -> None:
        """Tells them this process's arguments, as they came."""
        self._store.put("command", list(arguments))

    def begin(self, run_dir: Path) -> None:
        """Lets them build what the frozen config in `run_dir` describes."""
        self._store.put("run", str(run_dir))

    def requested(self) -> bool:
        """Whether this process or a follower was asked to leave."""
        for process, reason in self._store.within("asked").items():
            self._guard.request(f"{reason} in process {process}")
        return self._guard.requested()

    def wait_until_ready(self) -> bool:
        """Waits for all of them; returns False if the run is asked to leave meanwhile.

        Raises:
            RuntimeError: If one has failed.
        """
        while not self.requested():
            for process, reason in self._store.within("failed").items():
                raise RuntimeError(f"process {process} failed: {reason}")
            if len(self._store.within("ready")) == self._count:
                return True
            time.sleep(_POLL_S)
        return False

    def order(self, num_steps: int) -> None:
        """Makes them take `num_steps` steps, in which this process must join. The first order is to take its state."""
        self._store.put(f"order/{self._num_orders}", num_steps)
        if self._num_orders > 0:
            # The one before was carried out by all: otherwise this process would not be here.
            self._store.delete(f"order/{self._num_orders - 1}")
        self._num_orders += 1

    def dismiss(self, exit_code: int) -> None:
        """Makes them leave with `exit_code`."""
        self._store.put("dismissed/with", exit_code)

    def give_up(self) -> None:
        """Notes that one is lost."""
        self._store.put("lost/one", "")

    def are_lost(self) -> bool:
        """Whether one is lost, so that there is no point in waiting for all."""
        return bool(self._store.within("lost"))


class Leader:
    """Process 0, as another process sees it.

    Args:
        guard: Installed; where it is asked to leave, process 0 is told, which decides.
    """

    def __init__(self, guard: PreemptionGuard):
        self._store = _Store()
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
        command = self._receive("command")
        if command is not None and command != list(arguments):
            raise RuntimeError(
                "its arguments are others than those of process 0, and the tasks of a step train one run together; "
                "start each run with an `srun --ntasks=1` of its own"
            )
        run_dir = self._receive("run")
        return None if run_dir is None else Path(run_dir)

    def report_ready(self) -> None:
        """Says that this process waits for orders."""
        self._store.put(f"ready/{self._process_id}", "")

    def report_failure(self, reason: str) -> None:
        """Says that this process will carry out no more orders."""
        self._store.put(f"failed/{self._process_id}", reason)

    def next_order(self) -> int | None:
        """How many steps to take; None if this process is dismissed."""
        num_steps = self._receive(f"order/{self._num_orders}")
        self._num_orders += 1
        return num_steps

    def requested(self) -> bool:
        """Whether this process is dismissed. Passes on what this process itself is asked."""
        if self._guard.requested() and not self._has_asked:
            self._has_asked = True
            self._store.put(f"asked/{self._process_id}", str(self._guard.reason))
        return bool(self._store.within("dismissed"))

    def wait_for_dismissal(self) -> int:
        """The exit code that process 0 leaves with."""
        while not self.requested():
            time.sleep(_POLL_S)
        return self._store.within("dismissed")["with"]

    def _receive(self, key: str) -> Any:
        """Waits for a message; None if this process is dismissed."""
        while not self.requested():
            value = self._store.wait_for(key)
            if value is not None:
                return value
        return None
