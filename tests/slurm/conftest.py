"""A real SLURM for the tests of this folder, and small sweeps on it whose runs need nothing but Python."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from simplexity.cluster import ClusterProfile, batch_script, queued_tasks, split_into_arrays, submit
from tests.profiles import dev_profile
from tests.slurm.guard import guarded
from tests.slurm.witness import wait_for_death

DEV_CLUSTER = Path(__file__).parents[2] / "slurm" / "dev-cluster"
PAYLOAD = Path(__file__).parent / "payload.py"
PROGRAMS = ("sbatch", "munge")
DAEMON_FOLDERS = f"{os.environ['PATH']}:/usr/sbin:/sbin"
# What takes seconds on an idle machine takes minutes on one that others use too.
LIMIT_S = 240


class DevCluster:
    """A cluster that `slurm/dev-cluster up FOLDER OPTIONS` starts."""

    def __init__(self, folder: Path, options: tuple[str, ...]):
        self.folder = folder
        self.options = options

    def up(self) -> None:
        self.call("up", *self.options)

    def call(self, command: str, *options: str) -> str:
        answer = subprocess.run(
            [DEV_CLUSTER, command, self.folder, *options], capture_output=True, text=True, timeout=300
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def sweep(self, folder: Path, runs: int, working_folder: Path | None = None, **changes) -> "Sweep":
        """Submits runs of the payload: `work` is what each does, and other keywords change the profile."""
        return Sweep(folder, runs, working_folder or folder.parent, payload_profile(**changes))

    @contextlib.contextmanager
    def environment(self) -> Iterator[None]:
        """SLURM's commands talk to this cluster."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
                patch.delenv(name)
            patch.setenv("SLURM_CONF", str(self.folder / "slurm.conf"))
            yield

    def slurm(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT_S).stdout.strip()

    def end_all_jobs(self) -> None:
        """Leaves nothing that would keep the next test's jobs waiting."""
        jobs = self.slurm("squeue", "--noheader", "--format=%A").split()
        if jobs:
            for options in (["--signal=KILL", "--full"], []):  # scancel refuses jobs that wait, or have just ended
                subprocess.run(["scancel", *options, *jobs], capture_output=True, check=False, timeout=LIMIT_S)
            wait_until(lambda: not self.slurm("squeue", "--noheader"))

    def preempt_everything(self) -> str:
        """Submits a short job that needs every node for itself."""
        work = "--wrap=srun --mpi=none true"
        return self.slurm("sbatch", "--parsable", "-phigh", "-N2", "--exclusive", "-o/dev/null", work)

    def wait_until(self, condition, timeout_s: float = LIMIT_S) -> None:
        wait_until(condition, timeout_s)

    def pid(self, daemon: str) -> int:
        return int((self.folder / "run" / f"{daemon}.pid").read_text().split()[0])


class Sweep:
    """Runs of the payload as array tasks, submitted as the launcher does it."""

    def __init__(self, folder: Path, runs: int, working_folder: Path, profile: ClusterProfile):
        self.folder = folder
        folder.mkdir(parents=True)
        script = folder / "array_0.sh"
        (array,) = split_into_arrays(range(runs), 1001)
        text = batch_script(
            job_name="payload",
            task_command=[sys.executable, str(PAYLOAD)],
            sweep_folder=folder,
            script_path=script,
            working_folder=working_folder,
            array=array,
            parallelism=None,
            profile=profile,
        )
        script.write_text(text)
        self.job_id = submit(script)
        self.runs = range(runs)

    def lines(self, index: int, name: str) -> list[str]:
        return lines_of(self.folder / str(index) / name)

    def log(self, index: int) -> str:
        return (self.folder / "logs" / f"{index}.log").read_text()

    def task(self, index: int):
        return queued_tasks([self.job_id])[f"{self.job_id}_{index}"]

    def wait_for_start(self, steps: int = 3) -> None:
        wait_until(lambda: all(len(self.lines(index, "steps")) >= steps for index in self.runs))

    def took_each_step_once(self, index: int) -> bool:
        steps = self.lines(index, "steps")
        return steps == [str(step) for step in range(len(steps))]

    def wait_for_end(self, timeout_s: float = LIMIT_S) -> None:
        """Until all runs have ended, and SLURM knows."""
        wait_until(lambda: all(self.lines(index, "ends") for index in self.runs), timeout_s)
        busy = ("RUNNING", "COMPLETING")
        wait_until(lambda: not any(task.state in busy for task in queued_tasks([self.job_id]).values()))


def payload_profile(work: dict | None = None, environment: dict[str, str] | None = None, **changes) -> ClusterProfile:
    variables = {"PAYLOAD": json.dumps(work or {}), **(environment or {})}
    return dev_profile(**{"memory": "100M", "time_limit_minutes": 10, "environment": variables, **changes})


def lines_of(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def wait_until(condition, timeout_s: float = LIMIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            queue = subprocess.run(["squeue", "--array"], capture_output=True, text=True, timeout=60)
            jobs = subprocess.run(["scontrol", "--oneliner", "show", "job"], capture_output=True, text=True, timeout=60)
            pytest.fail(f"waited {timeout_s:g} s in vain\n{queue.stdout}{jobs.stdout}")
        time.sleep(0.2)


@pytest.fixture(scope="session")
def clusters(tmp_path_factory):
    """Options of dev-cluster -> a running cluster, shared within the session."""
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"SLURM is not installed (no {missing[0]}); `slurm/dev-cluster up` says how to install it")
    running: dict[tuple[str, ...], DevCluster] = {}

    def get(*options: str) -> DevCluster:
        if "--accounting" in options and shutil.which("slurmdbd", path=DAEMON_FOLDERS) is None:
            pytest.skip("slurmdbd is not installed; `slurm/dev-cluster up --accounting` says how to install it")
        if options not in running:
            cluster = DevCluster(tmp_path_factory.mktemp("slurm"), options)
            guards.enter_context(guarded(cluster.folder))
            cluster.up()
            guards.callback(cluster.call, "down")
            running[options] = cluster
        return running[options]

    with contextlib.ExitStack() as guards:
        yield get


@pytest.fixture
def dev_cluster(clusters):
    """Options of dev-cluster -> a running cluster that SLURM's commands now talk to, without jobs."""
    with contextlib.ExitStack() as stack:

        def use(*options: str) -> DevCluster:
            cluster = clusters(*options)
            stack.enter_context(cluster.environment())
            stack.callback(cluster.end_all_jobs)
            return cluster

        yield use


class Patience(NamedTuple):
    """Sweeps that take minutes and no CPU."""

    cluster: DevCluster
    orphaned: Sweep
    saving: Sweep
    hanging: Sweep


@pytest.fixture(scope="session")
def patience(clusters, tmp_path_factory) -> Patience:
    """They run, on a cluster of their own, while the other tests of this folder run; test_requeue.py waits for them.

    The first wanted to be requeued while there was no controller. Of the others, which need more than the least time
    limit that SLURM has, one saves when it is told to, and one never leaves until SLURM kills it.
    """
    cluster = clusters("--nodes=1")
    folders = [tmp_path_factory.mktemp(name) / "sweep" for name in ("orphaned", "saving", "hanging")]
    limit = {"time_limit_minutes": 1, "signal_lead_s": 5}
    with cluster.environment():
        orphaned = cluster.sweep(folders[0], 1, work={"starts": 2, "save_s": 1})
        orphaned.wait_for_start()
        os.kill(controller := cluster.pid("slurmctld"), signal.SIGTERM)
        wait_for_death(controller)
        os.kill(int(orphaned.lines(0, "pids")[0]), signal.SIGUSR2)
        deadline = time.monotonic() + LIMIT_S
        while "no answer from SLURM" not in orphaned.log(0):  # no `wait_until`, which asks the controller
            assert time.monotonic() < deadline
            time.sleep(0.2)
        cluster.up()
        saving = cluster.sweep(folders[1], 1, work={"steps": 1810}, **limit)
        hanging = cluster.sweep(folders[2], 1, work={"starts": 2, "hangs": True}, **limit)
    return Patience(cluster, orphaned, saving, hanging)
