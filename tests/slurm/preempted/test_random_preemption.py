"""The promise of the launcher, on a real SLURM: whatever is taken away, every run ends as if nothing had been."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from simplexity.sweeps import RunState, SweepDirectory
from tests.slurm.witness import Witness, intervals, ledger
from tests.small_runs import assert_same_run, environment

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[3]
SEED = 1
HOSTILE = "a b'c $HOME `id` %a ü;&#"
TINY = (
    "training.batch_size=4",
    "training.sequence_len=8",
    "training.num_train_steps=30000",
    "training.log_every=2000",
    "predictive_model.instance.hidden_size=4",
    "predictive_model.instance.num_layers=1",
    "persistence.instance.save_every_steps=3000",
)
SWEPT = ("seed=0,1,2,3", "training.optimizer.instance.learning_rate=0.01,0.001")
REFERENCE = """
import pathlib, sys
from simplexity.host import PreemptionGuard
from simplexity.running import run_frozen
with PreemptionGuard() as guard:
    for folder in sys.argv[1:]:
        assert run_frozen(pathlib.Path(folder), guard, None) == 0
"""


@pytest.fixture
def sweep(dev_cluster, tmp_path, cache):
    """Eight runs on two nodes with room for one each; the submitting process was killed after the submission."""
    dev_cluster("--cpus=1", "--grace=60")
    folder = str(tmp_path / HOSTILE).replace("'", "\\'")
    command = [sys.executable, str(ROOT / "simplexity/train_model.py"), "--multirun", "hydra/launcher=slurm"]
    command += ["cluster=dev", f"hydra.sweep.dir='{folder}'", *TINY, *SWEPT]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(cache), stdout=subprocess.PIPE, text=True
    ) as submission:
        assert submission.stdout is not None
        for line in submission.stdout:
            if line.startswith("submitted 8 runs as job "):
                submission.kill()
    assert submission.returncode == -signal.SIGKILL
    return SweepDirectory.open(tmp_path / HOSTILE)


def test_every_run_ends_as_if_nothing_had_been_taken_away(sweep, dev_cluster, tmp_path, cache):
    cluster = dev_cluster("--cpus=1", "--grace=60")
    folders = [sweep.run_directory(run).path for run in sweep.read_manifest().runs]
    with start_references(folders, tmp_path / "uninterrupted", cache) as uninterrupted:
        try:
            with Witness(sweep) as witness:
                disturb(cluster, folders)
            assert uninterrupted.wait(900) == 0
        finally:
            uninterrupted.kill()

    assert witness.problems == []
    assert {RunState.PENDING, RunState.RUNNING, RunState.WAITING, RunState.COMPLETE} <= set(witness.seen)
    for folder in folders:
        assert all(end <= start for (_, end), (start, _) in pairwise(intervals(folder)))
        assert count([folder], "complete") == 1
        assert count([folder], "failed") == 0
        assert_same_run(folder, tmp_path / "uninterrupted" / folder.name)


def disturb(cluster, folders: list[Path]) -> None:
    """Six preemptions, a lost node and a killed controller, at random moments; then waits for the runs' end."""
    chance = random.Random(SEED)
    moments = ["start", "start", "first_step", "first_step", "checkpoint", "checkpoint"]
    chance.shuffle(moments)
    blows = [cluster.preempt_everything] * 6 + [lambda: lose_a_node(cluster), lambda: lose_the_controller(cluster)]
    chance.shuffle(blows)
    for number, blow in enumerate(blows):
        # A preemption between the end of one run and the start of the next stops nothing: it is repeated.
        while not strike(cluster, folders, moments[number % len(moments)], chance.uniform(0, 1.5), blow):
            pass
    cluster.wait_until(lambda: take_up_drained_nodes(cluster) or count(folders, "complete") == len(folders), 900)


def strike(cluster, folders: list[Path], moment: str, delay: float, blow: Callable[[], str | None]) -> bool:
    """Waits for the next `moment` of any run and for `delay` more, and strikes.

    Returns:
        False for a preemption that stopped no run.
    """
    seen, stopped = count(folders, moment), count(folders, "preempted")
    cluster.wait_until(lambda: take_up_drained_nodes(cluster) or count(folders, moment) > seen)
    time.sleep(delay)
    preempting_job = blow()
    if preempting_job is None:
        return True
    cluster.wait_until(lambda: preempting_job not in cluster.slurm("squeue", "--noheader", "--format=%A").split())
    return count(folders, "preempted") > stopped


def count(folders: list[Path], kind: str) -> int:
    return sum(event["kind"] == kind for folder in folders for event in ledger(folder))


def start_references(folders: list[Path], references: Path, cache: Path) -> subprocess.Popen:
    """The same runs, one after the other in a process that is not interrupted."""
    for folder in folders:
        (references / folder.name).mkdir(parents=True)
        (references / folder.name / "config.yaml").write_bytes((folder / "config.yaml").read_bytes())
    command = [sys.executable, "-c", REFERENCE, *(references / folder.name for folder in folders)]
    return subprocess.Popen(command, env=environment(cache), stdout=subprocess.DEVNULL)


def lose_a_node(cluster) -> None:
    """Kills a slurmd, and lets SLURM find out at once. What ran on its node runs on, unseen, until it is back."""
    os.kill(cluster.pid("n1"), signal.SIGKILL)
    cluster.slurm("scontrol", "update", "NodeName=n1", "State=DOWN", "Reason=lost")
    time.sleep(3)
    cluster.up()


def lose_the_controller(cluster) -> None:
    os.kill(cluster.pid("slurmctld"), signal.SIGKILL)
    time.sleep(3)
    cluster.up()


def take_up_drained_nodes(cluster) -> None:
    """As an administrator does after a controller was killed: a job that it started since it last saved its state is
    started once more, and the node that has it is drained with this reason.
    """
    for node in ("n1", "n2"):
        if "Duplicate jobid" in cluster.slurm("sinfo", "--noheader", f"--nodes={node}", "--format=%E"):
            cluster.slurm("scontrol", "update", f"NodeName={node}", "State=RESUME")
