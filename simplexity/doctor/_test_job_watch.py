"""What can be seen of a test job from outside: by its run's files, by its log, and by SLURM."""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import simplexity
from simplexity.cluster import SlurmError, queued_tasks, send_signal
from simplexity.host import PreemptionGuard
from simplexity.runs import Event, EventKind, read_ledger, write_durably
from simplexity.sweeps import (
    ACTIVE_STATES,
    RunStatus,
    SweepDirectory,
    display_path,
    duration,
    last_lines,
    read_status,
    submit_runs,
)

from ._check_result import Finding, advice, ok, problem
from ._stop_times import Stop
from ._submission_checks import refusal_finding, wants_gpu
from ._test_job_settings import Rehearsal

_TOPIC = "test job"
_TIME_LIMIT_MINUTES = 10
_SIGNAL_LEAD_S = 30
_SPARE_MINUTES = 5
_POLL_S = 1.0
# A network file system may show files of another machine that much later.
_VISIBLE_S = 30.0
_SETTLE_S = 2.0
_CAME_BACK = ("batch script: requeued ", "batch script: SLURM has requeued ")
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
    """The test job cannot go on; carries the finding that says why."""

    def __init__(self, finding: Finding):
        self.finding = finding


class TestJob:
    """The job, from its submission to its requeue.

    Args:
        rehearsal: What it runs.
        sweep: The sweep of its own, which is yet to be made.
        guard: Installed; asked whether to leave.
        tell: Is told what is being waited for.
    """

    def __init__(
        self, rehearsal: Rehearsal, sweep: SweepDirectory, guard: PreemptionGuard, tell: Callable[[str], object]
    ):
        self._rehearsal, self._sweep, self._guard, self._tell = rehearsal, sweep, guard, tell
        self._directory = sweep.run_directory(rehearsal.run)
        self._deadline_s = time.monotonic() + rehearsal.wait_s
        self._task_id = ""
        self._ended_s: float | None = None

    def findings(self, stops: list[Stop]) -> Iterator[Finding]:
        """Submits it, and tells what can be seen of it.

        Args:
            stops: Gets its stop.

        Raises:
            TestJobError: If it cannot go on.
            RuntimeError: If somebody wants to leave.
        """
        self._submit()
        submitted_s = time.monotonic()
        start = self._wait_for(EventKind.START)
        started_s = time.monotonic()
        first_step = self._wait_for(EventKind.FIRST_STEP)
        yield ok(
            _TOPIC,
            f"{self._task_id} on {_node(start)}: began after {started_s - submitted_s:.0f} s, "
            f"first training step {first_step.elapsed_s:.0f} s later",
            "A node sees the folder, the software and the config, and trains.",
        )  # fmt: skip
        yield from self._environment_findings()
        printed = self._sweep.log_path(0).stat().st_size
        try:
            send_signal(self._task_id, "USR2")
        except SlurmError as error:
            remedy = "try again; if that does not help, ask the site whether users may signal their jobs"
            raise TestJobError(problem("stop", str(error), "A run would not be told to save.", remedy)) from None
        stop = self._wait_for(EventKind.PREEMPTED, after=first_step)
        if stop.stopping_s is not None:
            stops.append(Stop(stop.stopping_s, "the test job"))
        how = self._wait_for_requeue(printed)
        took = "" if stop.stopping_s is None else f" after {stop.stopping_s:.1f} s"
        yield ok("stop", f"SIGUSR2: saved and left{took}, {how}", "So a run outlives its job.")

    def _submit(self) -> None:
        profile = self._rehearsal.profile
        minutes = min(profile.time_limit_minutes, _TIME_LIMIT_MINUTES)
        # If this process is killed, nobody cancels the job: then it must not be requeued for ever.
        deadline = f"now+{minutes + math.ceil(self._rehearsal.wait_s / 60) + _SPARE_MINUTES}minutes"
        brief = replace(
            profile,
            time_limit_minutes=minutes,
            signal_lead_s=min(profile.signal_lead_s, _SIGNAL_LEAD_S),
            sbatch_options={**profile.sbatch_options, "deadline": deadline},
        )
        manifest = self._rehearsal.manifest(brief)
        try:
            with self._sweep.lock():
                self._directory.path.mkdir()
                write_durably(self._directory.config_path, self._rehearsal.config_text)
                self._sweep.write_manifest(manifest)
                (job_id,) = submit_runs(self._sweep, manifest, [0])
        except SlurmError as error:
            raise TestJobError(refusal_finding(str(error), brief)) from None
        self._task_id = f"{job_id}_0"

    def _wait_for(self, kind: EventKind, after: Event | None = None) -> Event:
        """The first event of its kind, or the first after another, once the run has it in its ledger."""
        earliest = 0 if after is None else after.sequence + 1
        while True:
            # Before the files: what has ended has then written all it will write.
            (status,) = read_status(self._sweep).runs
            events = read_ledger(self._directory.ledger_path)
            found = next((event for event in events[earliest:] if event.kind == kind), None)
            if found is not None:
                return found
            if self._has_ended(status):
                raise TestJobError(self._failure(status))
            self._pause()

    def _wait_for_requeue(self, printed: int) -> str:
        """What the batch script did to bring the run back, by what it added to the log's first `printed` bytes."""
        while True:
            for line in self._sweep.log_path(0).read_bytes()[printed:].splitlines():
                text = line.decode(errors="replace")
                if any(mark in text for mark in _CAME_BACK):
                    return "and was requeued"
                if text.endswith(_RESUBMITTED):
                    return "and was submitted anew, because SLURM refuses to requeue it"
                if _LOST in text:
                    raise TestJobError(
                        problem("stop", text, "A preempted run would not come back.", "simplexity retry SWEEP_DIR")
                    )
            self._pause()

    def _environment_findings(self) -> Iterator[Finding]:
        while not self._directory.environment_path.exists():
            self._pause()
        record = json.loads(self._directory.environment_path.read_text())[-1]
        devices = ", ".join(record["devices"]) or "none"
        if not wants_gpu(self._rehearsal.profile):
            yield ok("devices", devices, "The profile asks for no GPU.")
        elif all(device.startswith("cpu") for device in record["devices"]):
            yield problem(
                "devices", devices, "The job has a GPU and the run does not use it.",
                "install jax with CUDA (pip install -e '.[cuda12]' -c constraints.txt) or an image with it, and set "
                "`environment.JAX_PLATFORMS` to cuda",
            )  # fmt: skip
        else:
            yield ok("devices", devices, "The run computes on the GPU.")
        there = record["versions"].get("simplexity", "unknown")
        if there != simplexity.__version__:
            yield advice(
                "version", f"simplexity {there} on the node, {simplexity.__version__} here",
                "Runs may not understand the configs that are frozen here.",
                "build the image again (containers/build.sh), or activate the same environment in `setup`",
            )  # fmt: skip

    def _has_ended(self, status: RunStatus) -> bool:
        if status.state in ACTIVE_STATES:
            self._ended_s = None
            return False
        self._ended_s = self._ended_s or time.monotonic()
        patience_s = _SETTLE_S if self._sweep.log_path(0).exists() else _VISIBLE_S
        return time.monotonic() - self._ended_s > patience_s

    def _failure(self, status: RunStatus) -> Finding:
        log = self._sweep.log_path(0)
        where = f" on {status.node}" if status.node else ""
        if not log.exists():
            return problem(
                _TOPIC, f"{self._task_id} ended{where}, and left nothing in {self._sweep.path}",
                "The nodes do not see this folder, or may not write it.",
                "choose a folder on a shared file system: hydra.sweep.dir=FOLDER",
            )  # fmt: skip
        return problem(
            _TOPIC, f"{self._task_id} {status.state}{where}: {_cause(status, log)}",
            "Every run of a sweep would end so.",
            f"see {display_path(log)}; usual causes are `setup`, `environment` and `container`",
        )  # fmt: skip

    def _pause(self) -> None:
        now = self._describe()
        self._tell(f"test job {self._task_id}: {now}")
        if self._guard.wait(_POLL_S):
            raise RuntimeError("interrupted; the test job was cancelled")
        if time.monotonic() > self._deadline_s:
            raise TestJobError(
                advice(
                    _TOPIC, f"{self._task_id} after {duration(self._rehearsal.wait_s)}: {now}",
                    "It was cancelled; what it would have shown is not known.",
                    f"give it more time: --wait {2 * self._rehearsal.wait_s / 60:g}",
                )
            )  # fmt: skip

    def _describe(self) -> str:
        """How the job stands: in the words of its run, or before it has any in SLURM's."""
        events = read_ledger(self._directory.ledger_path)
        if events:
            return f"on {_node(events[-1])}, {_DOING[events[-1].kind]}"
        with suppress(SlurmError):  # a controller that restarts comes back; the deadline ends the patience
            task = queued_tasks([self._task_id.partition("_")[0]]).get(self._task_id)
            if task is not None:
                return task.state.lower() + ("" if task.reason in ("", "None") else f" ({task.reason})")
        return "SLURM does not tell"


def _node(event: Event) -> str:
    return (event.slurm.node if event.slurm is not None else None) or event.host


def _cause(status: RunStatus, log: Path) -> str:
    """Why the run failed: in its own words, or in the last of its log that are not srun's about its exit code."""
    event = status.summary.last_event
    if event is None or event.kind != EventKind.FAILED:
        lines = [line.decode(errors="replace").strip() for line in reversed(last_lines(log, 20))]
        own = next((line for line in lines if line and not line.startswith(("srun: ", "slurmstepd: "))), "")
        return own or status.reason or "it left no reason"
    return status.reason
