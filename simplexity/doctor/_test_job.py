"""A test job: one run of a sweep of its own, which gets the signal of a preemption, comes back, and is then cancelled.

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
from simplexity.cluster import ClusterProfile, SlurmError, send_signal
from simplexity.host import PreemptionGuard
from simplexity.runs import EventKind, RunDirectory, write_durably
from simplexity.sweeps import Manifest, SlurmLaunch, SweepDirectory, SweepRun, cancel, read_status, submit_runs

from ._check_result import CheckResult, advice, ok, problem
from ._stop_times import Stop
from ._submission_checks import refused_submission
from ._test_job_watch import TestJobError, TestJobWatch

_TIME_LIMIT_MINUTES = 10
_SIGNAL_LEAD_S = 30
_SPARE_MINUTES = 5
_POLL_S = 1.0
_EXIT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class TestJob:
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
            launch=SlurmLaunch(
                job_name="simplexity-doctor", profile=replace(profile, tasks_per_gpu=None), array_parallelism=None
            ),
            runs=(self.run,),
        )


def run_test_job(
    job: TestJob, guard: PreemptionGuard, show_progress: Callable[[str], object], stops: list[Stop]
) -> Iterator[CheckResult]:
    """Submits the test job, watches it, and cancels it, whatever happens.

    Args:
        job: The test job.
        guard: Installed; has whether a stop was requested.
        show_progress: Shows what is being waited for.
        stops: Gets the stop of the test job.

    Raises:
        RuntimeError: If a stop was requested.
    """
    sweep = SweepDirectory(job.folder / f"doctor-{time.strftime('%Y-%m-%d-%H-%M-%S')}")
    failed, was_there = False, job.folder.exists()
    try:
        try:
            watch = TestJobWatch(sweep, _submit(job, sweep), job.wait_s, guard, show_progress)
            yield from _check_start(job, watch)
            yield _check_stop(watch, stops)
        except TestJobError as error:
            failed = True
            yield error.result
    finally:
        show_progress("cancelling the test job")
        _clear_away(sweep, keep=failed and sweep.log_path(0).exists())
        show_progress("")
        if not was_there:
            with suppress(OSError):  # what failed is kept there
                job.folder.rmdir()


def _submit(job: TestJob, sweep: SweepDirectory) -> str:
    """Submits the job, for less time than its profile asks for; returns the id of its task."""
    profile = job.profile
    minutes = min(profile.time_limit_minutes, _TIME_LIMIT_MINUTES)
    # If this process is killed, nothing cancels the job: then it must not be requeued for ever.
    deadline = f"now+{minutes + math.ceil(job.wait_s / 60) + _SPARE_MINUTES}minutes"
    brief = replace(
        profile,
        time_limit_minutes=minutes,
        signal_lead_s=min(profile.signal_lead_s, _SIGNAL_LEAD_S),
        sbatch_options={**profile.sbatch_options, "deadline": deadline},
    )
    manifest = job.manifest(brief)
    directory = sweep.run_directory(job.run)
    try:
        with sweep.lock():
            directory.path.mkdir()
            write_durably(directory.config_path, job.config_text)
            sweep.write_manifest(manifest)
            (job_id,) = submit_runs(sweep, manifest, [0])
    except SlurmError as error:
        # The error of `submit_runs` says itself which keys to change.
        raise TestJobError(refused_submission(str(error))) from None
    return f"{job_id}_0"


def _check_start(job: TestJob, watch: TestJobWatch) -> Iterator[CheckResult]:
    """Waits until the job trains, and judges where and in what it does so."""
    submitted_s = time.monotonic()
    start = watch.wait_for(EventKind.START)
    started_s = time.monotonic()
    first_step = watch.wait_for(EventKind.FIRST_STEP)
    yield ok(
        "test job",
        f"{watch.task_id} on {start.node}: began after {started_s - submitted_s:.0f} s, "
        f"first training step {first_step.elapsed_s:.0f} s later",
        "A node sees the folder, the software and the config, and trains.",
    )  # fmt: skip
    yield from _check_environment(job.profile, watch.wait_for_environment())


def _check_environment(profile: ClusterProfile, directory: RunDirectory) -> Iterator[CheckResult]:
    """Whether the run uses the GPU that its job has, and the version that is here."""
    record = json.loads(directory.environment_path.read_text())[-1]
    devices = ", ".join(record["devices"]) or "none"
    if not profile.wants_gpu:
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


def _check_stop(watch: TestJobWatch, stops: list[Stop]) -> CheckResult:
    """Sends the job the signal of a preemption, and waits until it has saved and is back in the queue."""
    num_log_bytes = watch.num_log_bytes()
    try:
        send_signal(watch.task_id, "USR2")
    except SlurmError as error:
        remedy = "try again; if that does not help, ask the site whether users may signal their jobs"
        raise TestJobError(problem("stop", str(error), "A run would not be told to save.", remedy)) from None
    stop = watch.wait_for(EventKind.PREEMPTED)
    if stop.stopping_s is not None:
        stops.append(Stop(stop.stopping_s, "the test job"))
    how = watch.wait_for_requeue(num_log_bytes)
    took = "" if stop.stopping_s is None else f" after {stop.stopping_s:.1f} s"
    return ok("stop", f"SIGUSR2: saved and exited{took}, {how}", "So a run outlives its job.")


def _clear_away(sweep: SweepDirectory, *, keep: bool) -> None:
    """Cancels what is left of the test job, and removes its folder once nothing writes there."""
    if not sweep.manifest_path.exists():
        shutil.rmtree(sweep.path, ignore_errors=True)
        return
    with suppress(SlurmError):  # a controller that is down has nothing running to cancel but by hand
        cancel(sweep)
    if keep:
        return
    patience_s = time.monotonic() + _EXIT_S
    while time.monotonic() < patience_s and not read_status(sweep).has_ended:
        time.sleep(_POLL_S)
    shutil.rmtree(sweep.path, ignore_errors=True)
