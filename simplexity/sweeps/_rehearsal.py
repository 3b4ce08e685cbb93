"""A test job: one run of a sweep of its own, which is told to stop as SLURM does it, and then cancelled.

It goes the way of every run of a sweep: the batch script, the container, the frozen config, the requeue. So what works
here works there. All that is known of it is read from its files, which also shows that both machines see one folder.
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import simplexity
from simplexity.cluster import (
    ClusterProfile,
    Finding,
    PreemptionGuard,
    SlurmError,
    advice,
    ok,
    problem,
    queued_tasks,
    refusal_finding,
    send_signal,
    wants_gpu,
)
from simplexity.runs import Event, EventKind, read_ledger, write_durably

from ._cancel import cancel
from ._directory import SweepDirectory
from ._launch_settings import SlurmLaunch
from ._manifest import Manifest, SweepRun
from ._run_status import GOING_ON, RunStatus
from ._slurm_submission import submit_runs
from ._stop_times import Stop
from ._sweep_status import read_status
from ._tail import last_lines
from ._text import duration
from ._watch import display_path

_TOPIC = "test job"
_TIME_LIMIT_MINUTES = 10
_SIGNAL_LEAD_S = 30
_SPARE_MINUTES = 5
_POLL_S = 1.0
# A network file system may show files of another machine that much later.
_VISIBLE_S = 30.0
_SETTLE_S = 2.0
_LEAVE_S = 30.0
_CAME_BACK = ("batch script: requeued ", "batch script: SLURM has requeued ")
_RESUBMITTED = " in its place"
_LOST = "batch script: could not bring "
_DOING = {
    EventKind.START: "compiling",
    EventKind.RESUME: "compiling",
    EventKind.FIRST_STEP: "training",
    EventKind.CHECKPOINT: "saving",
    EventKind.PREEMPTED: "saved; waits for its requeue",
    EventKind.REQUEUED: "requeued",
    EventKind.COMPLETE: "complete",
    EventKind.FAILED: "failed",
}


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What the test job runs, and for how long.

    Args:
        config_name: The primary config.
        config_text: Its frozen config, whose steps do not end by themselves.
        config_hash: The config's hash.
        num_train_steps: Its number of steps.
        profile: The cluster's profile; the test job asks for less time.
        folder: Absolute path of the folder in which its sweep is made, and removed.
        wait_s: Seconds that it may take, waiting in the queue included.
    """

    config_name: str
    config_text: str
    config_hash: str
    num_train_steps: int
    profile: ClusterProfile
    folder: Path
    wait_s: float

    @property
    def run(self) -> SweepRun:
        """The only run of its sweep."""
        return SweepRun(0, (), self.config_hash, "0", self.num_train_steps)

    def manifest(self, profile: ClusterProfile) -> Manifest:
        """The manifest of its sweep, launched with a profile."""
        return Manifest(
            program="run_experiment",
            config_name=self.config_name,
            created=round(time.time(), 3),
            version=simplexity.__version__,
            working_folder=str(Path.cwd()),
            launch=SlurmLaunch(job_name="simplexity-doctor", profile=profile, array_parallelism=None),
            runs=(self.run,),
        )


class _TroubleError(Exception):
    """The rehearsal cannot go on; carries the finding that says why."""

    def __init__(self, finding: Finding):
        self.finding = finding


def rehearse(
    rehearsal: Rehearsal, guard: PreemptionGuard, tell: Callable[[str], object], stops: list[Stop]
) -> Iterator[Finding]:
    """Submits the test job, follows it, and cancels it, whatever happens.

    Args:
        rehearsal: The run.
        guard: Installed; asked whether to leave.
        tell: Is told what is being waited for.
        stops: Gets the stop of the test job.

    Raises:
        RuntimeError: If somebody wants to leave.
    """
    sweep = SweepDirectory(rehearsal.folder / f"doctor-{time.strftime('%Y-%m-%d-%H-%M-%S')}")
    failed, was_there = False, rehearsal.folder.exists()
    try:
        try:
            yield from _TestJob(rehearsal, sweep, guard, tell).findings(stops)
        except _TroubleError as trouble:
            failed = True
            yield trouble.finding
    finally:
        tell("cancelling the test job")
        _clear_away(sweep, keep=failed and sweep.log_path(0).exists())
        tell("")
        if not was_there:
            with suppress(OSError):  # what failed is kept there
                rehearsal.folder.rmdir()


class _TestJob:
    def __init__(
        self, rehearsal: Rehearsal, sweep: SweepDirectory, guard: PreemptionGuard, tell: Callable[[str], object]
    ):
        self._rehearsal, self._sweep, self._guard, self._tell = rehearsal, sweep, guard, tell
        self._directory = sweep.run_directory(rehearsal.run)
        self._deadline_s = time.monotonic() + rehearsal.wait_s
        self._task_id = ""
        self._ended_s: float | None = None

    def findings(self, stops: list[Stop]) -> Iterator[Finding]:
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
            raise _TroubleError(problem("stop", str(error), "A run would not be told to save.", remedy)) from None
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
            raise _TroubleError(refusal_finding(str(error))) from None
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
                raise _TroubleError(self._failure(status))
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
                    raise _TroubleError(
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
        if status.state in GOING_ON:
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
            raise _TroubleError(
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


def _clear_away(sweep: SweepDirectory, *, keep: bool) -> None:
    """Cancels what is left of the test job, and removes its folder once nothing writes there."""
    if not sweep.manifest_path.exists():
        shutil.rmtree(sweep.path, ignore_errors=True)
        return
    with suppress(SlurmError):  # a controller that is down has nothing running to cancel but by hand
        cancel(sweep)
    if keep:
        return
    patience_s = time.monotonic() + _LEAVE_S
    while time.monotonic() < patience_s and not read_status(sweep).has_ended:
        time.sleep(_POLL_S)
    shutil.rmtree(sweep.path, ignore_errors=True)
