"""A worker's process on this machine: starting it on its cores, stopping it, and noting down what ended it."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from simplexity.runs import ExitCode

from ._directory import SweepDirectory
from ._run_files import last_printed
from ._slots import Slot
from ._worker_place import WorkerPlace
from ._worker_record import WorkerRecord


class LocalWorker:
    """A worker's process, which may be started again when it has died in the middle of a run.

    Args:
        sweep: The sweep.
        place: Which of the submission's workers it is.
        slot: Its cores and its GPU.
        command: To which `--place PLACE DIR` is added.
        working_folder: Folder in which it runs.

    Attributes:
        record: What it has done.
        log_path: What its processes print while they execute no run.
        process: None before it is started, and once its end was noticed.
        early_deaths: How often it has died since it last began or ended a run.
    """

    def __init__(
        self, sweep: SweepDirectory, place: WorkerPlace, slot: Slot, command: Sequence[str], working_folder: Path
    ):
        self.record = WorkerRecord(sweep.worker_path(place.name))
        self.log_path = sweep.worker_log_path(place.name)
        self.process: subprocess.Popen[bytes] | None = None
        self.early_deaths = 0
        self._sweep, self._slot = sweep, slot
        self._command = [*command, "--place", str(place), str(sweep.path)]
        self._working_folder = working_folder

    def start(self) -> None:
        """Starts a process, whose output is appended to the worker's log."""
        self.log_path.parent.mkdir(exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self._working_folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._slot.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for this process, which passes it on once.
                start_new_session=True,
            )
        if self._slot.cores:
            # From here, because code between fork and exec is unsafe beside threads; Python is still starting there. A
            # process that is gone already has an exit code that says why.
            with suppress(ProcessLookupError):
                os.sched_setaffinity(self.process.pid, self._slot.cores)

    def request_stop(self) -> None:
        """Sends SIGTERM, if the process is running: it saves and exits."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def record_death(self, code: int) -> None:
        """Notes down how the process has ended, if that was in the middle of a run and not as requested."""
        running = self.record.running
        if not running or code == ExitCode.REQUEUE:
            return
        # Of several runs, none is known to have caused it.
        words = last_printed(self._sweep.log_path(running[0])) if len(running) == 1 else ""
        self.record.die(": ".join(part for part in (_describe(code), words) if part))


def _describe(code: int) -> str:
    if code >= 0:
        return f"its process exited with code {code}"
    name = signal.Signals(-code).name
    return f"its process was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
