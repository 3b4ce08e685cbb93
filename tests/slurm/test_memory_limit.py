"""A run that needs more memory than its job has, under a SLURM that enforces it."""

import os
from pathlib import Path

import pytest

from simplexity.sweeps import RunState, read_status
from tests.slurm.preempted.test_workers import submit

CGROUPS = Path("/sys/fs/cgroup/memory")
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not (CGROUPS / "cgroup.procs").is_file() or not os.access(CGROUPS, os.W_OK),
        reason=f"SLURM cannot limit memory here: that takes root, and cgroups of version 1 in {CGROUPS}",
    ),
]
# Filled, because the kernel counts what was written.
HUNGRY = """
def take(state, scores, megabytes):
    return {"taken": len(bytes([1]) * (megabytes * 10**6))}
"""


def test_a_run_that_needs_too_much_memory_fails_and_the_others_complete(dev_cluster, tmp_path, cache):
    cluster = dev_cluster("--nodes=1", "--memory-limits")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/hungry.py").write_text(HUNGRY)
    sweep, _ = submit(
        tmp_path / "sweep",
        cache,
        "hydra.launcher.workers=1",
        "cluster.memory=2500M",
        "training.num_train_steps=20",
        "validation=default",
        "validation.every=10",
        "+validation.functions.hungry._target_=hungry.take",
        "+validation.functions.hungry.megabytes=0,1,4000",
    )
    cluster.wait_until(lambda: read_status(sweep).has_ended, 600)
    runs = read_status(sweep).runs
    assert [run.state for run in runs] == [RunState.COMPLETE, RunState.COMPLETE, RunState.FAILED]
    assert "it has ended its worker 3 times; in one of its starts, its process ran out of memory" in runs[2].reason
