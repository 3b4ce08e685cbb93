"""A sweep's folder: its files, and the lock on it."""

import json
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from simplexity.cluster import LOG_FOLDER
from simplexity.runs import (
    RunDirectory,
    RunLock,
    append_json_line,
    counted,
    folder_problem,
    is_alive,
    is_there,
    read_holder,
    read_json_lines,
    renew_json_lines,
    retry_read,
    sleep,
    write_durably,
)

from . import _manifest_file
from ._launch_settings import private_values, read_private_values, with_private_values
from ._manifest import Manifest, Submission, SweepRun


@dataclass(frozen=True)
class SweepDirectory:
    """The files of a sweep; its runs' directories lie beside them.

    Args:
        path: Absolute path of the sweep's folder.
        wait: Sleeps between tries at reading; see `retry_read`.
    """

    path: Path
    wait: Callable[[float], bool] = field(default=sleep, compare=False)

    @classmethod
    def open(cls, path: Path, *, for_one_run: str = "to look at it: simplexity show {folder}") -> "SweepDirectory":
        """The sweep in `path`, which a command names.

        Args:
            path: The sweep's folder.
            for_one_run: What to do instead if `path`, which stands for {folder}, is the folder of one run.

        Raises:
            ValueError: If there is none.
        """
        if problem := cls.problem(path, for_one_run):
            raise ValueError(f"`{path}`: {problem}")
        return cls(path.absolute())

    @classmethod
    def problem(cls, path: Path, for_one_run: str) -> str | None:
        """Why `path` is not the folder of a sweep; None if it is one. For the arguments see `open`."""
        if problem := folder_problem(path, "sweep"):
            return problem
        if is_there(manifest := cls(path.absolute()).manifest_path):
            return None
        runs = sorted(folder for folder in path.glob("*") if is_there(RunDirectory(folder).config_path))
        remedy = "name the folder that a --multirun has printed"
        if is_there(RunDirectory(path).config_path):
            remedy = f"it is one run; {for_one_run.format(folder=shlex.quote(str(path)))}"
        elif runs:
            remedy = (
                f"another launcher, such as hydra/launcher=basic, made its {counted(len(runs), 'run')}; to look at "
                f"one: simplexity show {shlex.quote(str(runs[0]))}"
            )
        return f"is not a sweep: it has no sweep/{manifest.name}; {remedy}"

    @property
    def folder(self) -> Path:
        """What the launcher writes."""
        return self.path / "sweep"

    @property
    def manifest_path(self) -> Path:
        """How the sweep was launched: see `Manifest`."""
        return self.folder / "manifest.json"

    @property
    def runs_path(self) -> Path:
        """The sweep's runs, which batches join: see `SweepRun`."""
        return self.folder / "runs.jsonl"

    @property
    def multirun_path(self) -> Path:
        """The config of the whole sweep, with Hydra's section, as Hydra names it."""
        return self.path / "multirun.yaml"

    @property
    def environment_path(self) -> Path:
        """The values of the runs' environment variables, which may be tokens: for the sweep's owner alone."""
        return self.folder / "environment.json"

    @property
    def figures_path(self) -> Path:
        """Folder of what people look at."""
        return self.path / "figures"

    @property
    def submissions_path(self) -> Path:
        """Which process or array job was to execute which runs, and when: see `Submission`."""
        return self.folder / "submissions.jsonl"

    @property
    def stop_requests_path(self) -> Path:
        """Requests that whoever executes the sweep's runs stops: see `StopRequests`."""
        return self.folder / "stop_requests.jsonl"

    @property
    def optima_path(self) -> Path:
        """Folder of the best possible losses that the sweep's runs have computed, for the others to read."""
        return self.folder / "optima"

    @property
    def complete_runs_path(self) -> Path:
        """How complete runs have ended, so that their files need not be read again: see `KeptAnswers`."""
        return self.folder / "complete_runs.txt"

    @property
    def results_path(self) -> Path:
        """The results of complete runs, likewise."""
        return self.folder / "complete_results.txt"

    @property
    def lock_path(self) -> Path:
        """Held by whoever submits or executes the sweep's runs."""
        return self.folder / "lock"

    def script_path(self, number: int) -> Path:
        """The batch script of the submission of this number."""
        return self.folder / f"array_{number}.sh"

    def log_path(self, index: int) -> Path:
        """What a run's processes print, one after the other."""
        return self.path / LOG_FOLDER / f"{index}.log"

    @property
    def workers_path(self) -> Path:
        """Folder of the workers' records, of the exit codes of those that share a job, and of the locks of others."""
        return self.folder / "workers"

    def worker_path(self, name: str) -> Path:
        """The record of a worker: see `WorkerRecord`."""
        return self.workers_path / f"{name}.jsonl"

    def worker_log_path(self, name: str) -> Path:
        """What a worker's processes print while they execute no run."""
        return self.path / LOG_FOLDER / f"{name}.log"

    def link_log(self, index: int, path: Path) -> None:
        """Gives a run the log that another program writes, to which the link leads."""
        link = self.log_path(index)
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(path, link.parent))

    def resubmissions_path(self, name: str) -> Path:
        """Ids of the jobs that batch scripts have submitted in their own place, one per line.

        Args:
            name: A run's index, or a worker's name.
        """
        return self.path / LOG_FOLDER / f"{name}.jobs"

    def unreadable_path(self, name: str) -> Path:
        """Notes down that a job's last start could not read a file of the sweep or of its run, and is made once more.

        Args:
            name: A run's index, or a worker's name.
        """
        return self.path / LOG_FOLDER / f"{name}.unreadable"

    def exit_code_path(self, index: int) -> Path:
        """Exit code of a run's last batch script, if that has ended and is not to come back."""
        return self.log_path(index).with_suffix(".exit")

    def run_directory(self, run: SweepRun) -> RunDirectory:
        """The run directory of one of the sweep's runs."""
        return RunDirectory(self.path / run.directory)

    def read_manifest(self, *, with_runs: bool = True) -> Manifest:
        """The sweep's runs and how they were launched, as of now.

        Args:
            with_runs: Whether the runs are wanted; without them, reading takes no time.

        Raises:
            RuntimeError: If the manifest is not one, or a file cannot be read.
        """
        path, runs_path = self.manifest_path, self.runs_path
        with self._naming_manifest():
            manifest = retry_read(lambda: _manifest_file.read(path, runs_path, with_runs=with_runs), self.wait)
        values = read_private_values(self.environment_path, self.wait)
        return manifest if values is None else replace(manifest, launch=with_private_values(manifest.launch, values))

    def read_run(self, index: int) -> SweepRun:
        """The run of an index, without reading the others.

        Raises:
            ValueError: If there is none.
            RuntimeError: If the manifest is not one.
        """
        with self._naming_manifest():
            run = retry_read(lambda: _manifest_file.read_run(self.manifest_path, self.runs_path, index), self.wait)
        # Which runs there are is in the message.
        return self.read_manifest().run(index) if run is None else run

    def write_manifest(self, manifest: Manifest) -> None:
        """Replaces the manifest, of all runs. Only the holder of `lock` may."""
        values = private_values(manifest.launch)
        if values:
            write_durably(self.environment_path, json.dumps(values) + "\n", mode=0o600)
        _manifest_file.write(self.manifest_path, self.runs_path, manifest)
        if not values:
            # Not before: the manifest that it replaces has the names of these values.
            self.environment_path.unlink(missing_ok=True)

    def add_runs(self, manifest: Manifest, runs: Sequence[SweepRun]) -> None:
        """Adds a batch to the runs. Only the holder of `lock` may.

        Args:
            manifest: With the new runs too.
            runs: The new ones.
        """
        _manifest_file.append(self.manifest_path, self.runs_path, manifest, runs)

    @contextmanager
    def _naming_manifest(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise RuntimeError(f"{self.manifest_path} cannot be read: {error}") from None

    def record_submission(
        self,
        indices: Sequence[int],
        job_id: str | None = None,
        first_index: int | None = 0,
        num_workers: int | None = None,
    ) -> None:
        """Adds a line to the submissions: see `Submission`. Only the holder of `lock` may."""
        submission = Submission(round(time.time(), 3), tuple(indices), job_id, first_index, num_workers)
        # Behind a line that a power failure has torn, the new one would be torn as well.
        renew_json_lines(self.submissions_path)
        append_json_line(self.submissions_path, submission._asdict())

    def read_submissions(self) -> list[Submission]:
        """All submissions so far, oldest first.

        Raises:
            RuntimeError: If a line is something else, or the file cannot be read.
        """
        records = retry_read(lambda: read_json_lines(self.submissions_path), self.wait)
        try:
            return [Submission(**{**record, "indices": tuple(record["indices"])}) for record in records]
        except (KeyError, TypeError):
            raise RuntimeError(f"{self.submissions_path} was not written by a sweep; restore it from a copy") from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the sweep: at one time, one process submits or executes its runs.

        Raises:
            RuntimeError: If another process has it, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RuntimeError(f"the sweep's folder {self.path} cannot be written: {error.strerror}") from None
        lock = RunLock(self.lock_path)
        try:
            lock.acquire()
        except RuntimeError as error:
            if (who := self.lock_owner()) is None:
                raise
            raise RuntimeError(
                f"the sweep {self.path} is being submitted or executed by {who}; wait until that ends, or stop it: "
                "simplexity cancel"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def lock_owner(self) -> str | None:
        """Who submits or executes the sweep's runs at this moment ("process 12 on host"); None if no process does."""
        holder = read_holder(self.lock_path)
        if holder is None or not is_alive(self.lock_path):
            return None
        return "an unnamed process" if holder.owner is None else f"process {holder.owner.pid} on {holder.owner.host}"
