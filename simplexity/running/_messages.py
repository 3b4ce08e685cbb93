"""What the processes of one run tell each other, through the key-value store of JAX's coordinator.

Process 0 is the run's coordinator: it alone composes the config, writes files and decides. The others are workers: they
execute its commands, and report to it when they are ready, when a signal requests a stop, and why they failed.

The processes compute together, and a computation waits until all have begun it. So none may begin one before it knows
that the others will: the workers report that they are ready, and a command announces each chunk of steps. Wherever a
stop is requested, the coordinator acts on it between two commands, so that all stop at the same step.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jax.errors import JaxRuntimeError

from simplexity.host import PreemptionGuard

from ._private_jax import coordinator_client

_POLL_S = 0.05
_WAIT_MS = 200


class _Store:
    """Key-value pairs that all processes see."""

    def __init__(self):
        self._client = coordinator_client()

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


class ToWorkers:
    """The coordinator's side: its messages to the workers, and theirs to it.

    Args:
        guard: Installed; a stop is requested of it where one is requested in a worker.
    """

    def __init__(self, guard: PreemptionGuard):
        self._store = _Store()
        self._count = jax.process_count() - 1
        self._guard = guard
        self._num_commands = 0

    def send_arguments(self, arguments: Sequence[str]) -> None:
        """Sends this process's arguments, which must be theirs too."""
        self._store.put("arguments", list(arguments))

    def begin(self, run_dir: Path) -> None:
        """Lets them build what the frozen config in `run_dir` describes."""
        self._store.put("run", str(run_dir))

    def requested(self) -> bool:
        """Whether a stop was requested in this process or in a worker."""
        for process, reason in self._store.within("stop_requested").items():
            self._guard.request(f"{reason} in process {process}")
        return self._guard.requested()

    def wait_until_ready(self) -> bool:
        """Waits for all of them; returns False if a stop is requested meanwhile.

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

    def command(self, num_steps: int) -> None:
        """Makes them take `num_steps` steps, in which this process must join. The first command shares its state."""
        self._store.put(f"command/{self._num_commands}", num_steps)
        if self._num_commands > 0:
            # The one before was executed by all: otherwise this process would not be here.
            self._store.delete(f"command/{self._num_commands - 1}")
        self._num_commands += 1

    def shut_down(self, exit_code: int) -> None:
        """Makes them exit with `exit_code`."""
        self._store.put("shut_down/exit_code", exit_code)

    def mark_lost(self) -> None:
        """Notes that one is lost."""
        self._store.put("lost/one", "")

    def are_lost(self) -> bool:
        """Whether one is lost, so that there is no point in waiting for all."""
        return bool(self._store.within("lost"))


class ToCoordinator:
    """A worker's side: its messages to the coordinator, and the coordinator's to it.

    Args:
        guard: Installed; a stop that is requested of it is reported to the coordinator, which decides.
    """

    def __init__(self, guard: PreemptionGuard):
        self._store = _Store()
        self._process_id = jax.process_index()
        self._guard = guard
        self._num_commands = 0
        self._has_reported_stop = False

    def wait_for_run(self, arguments: Sequence[str]) -> Path | None:
        """The run's directory, whose config is frozen; None if there is nothing to do.

        Args:
            arguments: This process's.

        Raises:
            RuntimeError: If the tasks were given different commands: they should have been steps of their own.
        """
        expected = self._receive("arguments")
        if expected is not None and expected != list(arguments):
            raise RuntimeError(
                "its arguments are others than those of process 0, and the tasks of a step train one run together; "
                "start each run with an `srun --ntasks=1` of its own"
            )
        run_dir = self._receive("run")
        return None if run_dir is None else Path(run_dir)

    def report_ready(self) -> None:
        """Reports that this process waits for commands."""
        self._store.put(f"ready/{self._process_id}", "")

    def report_failure(self, reason: str) -> None:
        """Reports that this process will execute no more commands."""
        self._store.put(f"failed/{self._process_id}", reason)

    def next_command(self) -> int | None:
        """How many steps to take; None if this process is to shut down."""
        num_steps = self._receive(f"command/{self._num_commands}")
        self._num_commands += 1
        return num_steps

    def requested(self) -> bool:
        """Whether this process is to shut down. Reports a stop that is requested in it."""
        if self._guard.requested() and not self._has_reported_stop:
            self._has_reported_stop = True
            self._store.put(f"stop_requested/{self._process_id}", str(self._guard.reason))
        return bool(self._store.within("shut_down"))

    def wait_for_shutdown(self) -> int:
        """The exit code of the coordinator."""
        while not self.requested():
            time.sleep(_POLL_S)
        return self._store.within("shut_down")["exit_code"]

    def _receive(self, key: str) -> Any:
        """Waits for a message; None if this process is to shut down."""
        while not self.requested():
            value = self._store.wait_for(key)
            if value is not None:
                return value
        return None
