"""What can be seen of a test job from outside: by its run's files, by its log, and by SLURM."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from simplexity.cluster import SlurmError, queued_tasks
from simplexity.host import PreemptionGuard
from simplexity.runs import Event, EventKind, RunDirectory, read_ledger
from simplexity.sweeps import ACTIVE_STATES, RunStatus, SweepDirectory, display_path, duration, last_lines, read_status

from ._check_result import CheckResult, advice, problem

_TOPIC = "test job"
_POLL_S = 1.0
# A network file system may show files of another machine that much later.
_VISIBLE_S = 30.0
# The same for the last lines of a log that is there.
_LAST_LINES_S = 2.0
# What requeue.sh prints.
_REQUEUED = ("batch script: requeued ", "batch script: SLURM has requeued ")
_RESUBMITTED = " in its place"
_LOST = "batch script: could not bring "
_DOING = {
    EventKind.START: "compiling",
    EventKind.RESUME: "compiling",
    EventKind.FIRST_STEP: "training",
    EventKind.CHECKPOINT: "saving",
    EventKind.PREEMPTED: "saved; waits for its requeue",
    EventKind.COMPLETE: "complete",
    EventKind.FAILED: "failed",
}


class TestJobError(Exception):
    """The test job cannot continue; carries the check result that says why."""

    def __init__(self, result: CheckResult):
        self.result = result


class TestJobWatch:
    """Waits for what a test job does; its methods raise TestJobError once that can no longer come.

    Args:
        sweep: The sweep of its own.
        task_id: The array task that runs it.
        wait_s: Seconds that it may take from now on.
        guard: Installed; has whether a stop was requested.
        show_progress: Shows what is being waited for.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        task_id: str,
        wait_s: float,
        guard: PreemptionGuard,
        show_progress: Callable[[str], object],
    ):
        self.task_id = task_id
        self._sweep, self._guard, self._show_progress = sweep, guard, show_progress
        (run,) = sweep.read_manifest().runs
        self._directory = sweep.run_directory(run)
        self._wait_s, self._deadline_s = wait_s, time.monotonic() + wait_s
        self._num_events_seen = 0
        self._ended_s: float | None = None

    def wait_for(self, kind: EventKind) -> Event:
        """The next event of a kind, once the run has it in its ledger.

        Raises:
            TestJobError: If the run ends without it, or its time is up.
            RuntimeError: If a stop was requested.
        """
        while True:
            # Before the files: what has ended has then written all it will write.
            (status,) = read_status(self._sweep).runs
            events = read_ledger(self._directory.ledger_path)
            for event in events[self._num_events_seen :]:
                if event.kind == kind:
                    self._num_events_seen = event.sequence + 1
                    return event
            if self._has_ended(status):
                raise TestJobError(self._failure(status))
            self._pause()

    def wait_for_environment(self) -> RunDirectory:
        """The run's directory, once the run has recorded its environment there."""
        while not self._directory.environment_path.exists():
            self._pause()
        return self._directory

    def num_log_bytes(self) -> int:
        """How much the job has printed so far."""
        return self._sweep.log_path(0).stat().st_size

    def wait_for_requeue(self, num_log_bytes: int) -> str:
        """What the batch script did to bring the run back, by what it added to the log's first bytes.

        Raises:
            TestJobError: If it could not, or the job's time is up.
            RuntimeError: If a stop was requested.
        """
        while True:
            for line in self._sweep.log_path(0).read_bytes()[num_log_bytes:].splitlines():
                text = line.decode(errors="replace")
                if any(mark in text for mark in _REQUEUED):
                    return "and was requeued"
                if text.endswith(_RESUBMITTED):
                    return "and was submitted anew, because SLURM refuses to requeue it"
                if _LOST in text:
                    raise TestJobError(
                        problem("stop", text, "A preempted run would not come back.", "simplexity retry SWEEP_DIR")
                    )
            self._pause()

    def _has_ended(self, status: RunStatus) -> bool:
        if status.state in ACTIVE_STATES:
            self._ended_s = None
            return False
        self._ended_s = self._ended_s or time.monotonic()
        patience_s = _LAST_LINES_S if self._sweep.log_path(0).exists() else _VISIBLE_S
        return time.monotonic() - self._ended_s > patience_s

    def _failure(self, status: RunStatus) -> CheckResult:
        log = self._sweep.log_path(0)
        where = f" on {status.node}" if status.node else ""
        if not log.exists():
            return problem(
                _TOPIC, f"{self.task_id} ended{where}, and wrote nothing to {self._sweep.path}",
                "The nodes do not see this folder, or may not write it.",
                "choose a folder on a shared file system: hydra.sweep.dir=FOLDER",
            )  # fmt: skip
        return problem(
            _TOPIC, f"{self.task_id} {status.state}{where}: {_cause(status, log)}",
            "Every run of a sweep would end so.",
            f"see {display_path(log)}; usual causes are `setup`, `environment` and `container`",
        )  # fmt: skip

    def _pause(self) -> None:
        now = self._describe()
        self._show_progress(f"test job {self.task_id}: {now}")
        if self._guard.wait(_POLL_S):
            raise RuntimeError("interrupted; the test job was cancelled")
        if time.monotonic() > self._deadline_s:
            raise TestJobError(
                advice(
                    _TOPIC, f"{self.task_id} after {duration(self._wait_s)}: {now}",
                    "It was cancelled; what it would have shown is not known.",
                    f"give it more time: --wait {2 * self._wait_s / 60:g}",
                )
            )  # fmt: skip

    def _describe(self) -> str:
        """How the job stands: in the words of its run, or before it has any in SLURM's."""
        events = read_ledger(self._directory.ledger_path)
        if events:
            return f"on {events[-1].node}, {_DOING[events[-1].kind]}"
        with suppress(SlurmError):  # a controller that restarts comes back; the deadline ends the patience
            task = queued_tasks([self.task_id.partition("_")[0]]).get(self.task_id)
            if task is not None:
                return task.state.lower() + ("" if task.reason in ("", "None") else f" ({task.reason})")
        return "SLURM does not tell"


def _cause(status: RunStatus, log: Path) -> str:
    """Why the run failed: in its own words, or in the last of its log that are not srun's about its exit code."""
    event = status.last_event
    if event is None or event.kind != EventKind.FAILED:
        lines = [line.decode(errors="replace").strip() for line in reversed(last_lines(log, 20))]
        own = next((line for line in lines if line and not line.startswith(("srun: ", "slurmstepd: "))), "")
        return own or status.reason or "it gave no reason"
    return status.reason
