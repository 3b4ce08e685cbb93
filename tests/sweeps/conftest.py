"""Sweeps in a temporary folder, whose runs are stand-ins: quick, and as good or bad as a test wants them."""

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from simplexity.cluster import QueuedTask, SlurmError
from simplexity.host import PreemptionGuard
from simplexity.runs import EventKind, Ledger, RunDirectory
from simplexity.sweeps import (
    LocalLaunch,
    Manifest,
    Outcome,
    SlurmLaunch,
    SweepDirectory,
    SweepRun,
    _log_end,
    _scheduler_state,
)
from simplexity.sweeps._local import LocalExecution
from simplexity.sweeps._manifest import submission_names
from simplexity.sweeps._slots import Slot
from tests.profiles import dev_profile

WORKER = (sys.executable, str(Path(__file__).parent / "worker.py"))
LOCAL = LocalLaunch(max_parallel=2, cores_per_run=None)


@pytest.fixture
def slurm_launch():
    """Changes of the profile -> a launch by SLURM."""
    return _slurm_launch


def _slurm_launch(**changes) -> SlurmLaunch:
    profile = dev_profile(**{"partition": None, "environment": {}, **changes})
    return SlurmLaunch(job_name="sweep", profile=profile, array_parallelism=None)


@pytest.fixture
def make_sweep(tmp_path):
    """What each run is to do -> a sweep of these runs, frozen and in a manifest, of which none has begun."""
    return partial(sweep_in, tmp_path)


def sweep_in(folder: Path, *works: dict, launch=LOCAL, name: str = "sweep of it") -> SweepDirectory:
    sweep = SweepDirectory(folder / name)
    runs = tuple(
        SweepRun(i, ("lr=0.1", f"seed={i}"), f"{i:016x}", str(i), work.get("steps", 4)) for i, work in enumerate(works)
    )
    for run, work in zip(runs, works, strict=True):
        RunDirectory.create(sweep.path / run.directory).config_path.write_text(json.dumps(work))
    sweep.folder.mkdir()
    sweep.write_manifest(
        Manifest(
            program="train_model",
            config_name="train_model",
            created=time.time(),
            version="0",
            working_folder=str(folder),
            launch=launch,
            runs=runs,
        )
    )
    return sweep


def queued(state, node=""):
    return QueuedTask(state, "", node, None)


def record(sweep, index, *kinds, reason=None):
    """Gives a run a ledger of these events."""
    directory = sweep.run_directory(sweep.read_manifest().run(index))
    ledger = Ledger(directory.ledger_path)
    name = submission_names(sweep.read_submissions()).get(index)
    for step, kind in enumerate(kinds):
        why = reason if kind in (EventKind.FAILED, EventKind.PREEMPTED) else None
        ledger.append(kind, step, reason=why, submission=name if kind == EventKind.START else None)


@pytest.fixture
def slurm(monkeypatch):
    """What the queue and the accounting say; None for no answer. And whether SLURM's programs are installed."""
    said = {"queue": {}, "accounting": None, "is_installed": True}

    def answer(what):
        def ask(jobs):
            if said[what] is None:
                raise SlurmError(f"no {what}")
            return {task: entry for task, entry in said[what].items() if task.partition("_")[0] in set(jobs)}

        return ask

    monkeypatch.setattr(_scheduler_state, "queued_tasks", answer("queue"))
    monkeypatch.setattr(_scheduler_state, "accounted_tasks", answer("accounting"))
    monkeypatch.setattr(_log_end, "slurm_is_installed", lambda: said["is_installed"])
    return said


class Notes:
    """Keeps what happens to a sweep's runs, and does something at the first start."""

    def __init__(self, at_start=None):
        self.starts, self.ends, self.stopped, self._at_start = [], [], False, at_start

    def started(self, run: SweepRun) -> None:
        self.starts.append(run.index)

    def ended(self, outcome: Outcome) -> None:
        self.ends.append(outcome.run.index)

    def stopping(self) -> None:
        self.stopped = True

    def tick(self) -> None:
        if self._at_start is not None and self._at_start():
            self._at_start = None


@pytest.fixture
def start_worker():
    """Starts a worker of a sweep, which nothing watches -> its process; one that a test leaves behind is killed."""
    started: list[subprocess.Popen] = []

    def start(sweep: SweepDirectory, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen:
        command = [*prefix, *WORKER, *arguments, str(sweep.path)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def execute():
    """Executes all runs of a sweep by the stand-in -> outcomes, and its Notes."""
    return execute_all


def execute_all(
    sweep: SweepDirectory, slots: int = 2, at_start=None, cores=((), ()), **settings
) -> tuple[list[Outcome], Notes]:
    notes = Notes(at_start)
    manifest = sweep.read_manifest()
    sweep.record_submission([run.index for run in manifest.runs])
    with PreemptionGuard() as guard:
        outcomes = LocalExecution(
            sweep, manifest.runs, [Slot(own, {}) for own in cores[:slots]], guard, notes,
            working_folder=Path(manifest.working_folder), worker=WORKER, **settings,
        ).run()  # fmt: skip
    return outcomes, notes
