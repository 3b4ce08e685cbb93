"""The whole test job is tested on a real SLURM, in tests/slurm."""

import os

import pytest

from simplexity.cluster import SlurmError, refused_keys
from simplexity.doctor import _test_job
from simplexity.host import PreemptionGuard


@pytest.fixture
def job(profile, tmp_path):
    return _test_job.TestJob(
        config_name="experiment", config_text="seed: 1\n", config_hash="0", num_train_steps=5,
        profile=profile(qos="gone"), folder=tmp_path / "multirun", wait_s=60.0,
    )  # fmt: skip


def test_a_refused_submission_says_once_what_to_change_and_leaves_no_files(job, tmp_path, monkeypatch):
    def refuse(sweep, manifest, indices):
        error = "sbatch: error: Invalid qos specification"
        raise SlurmError(f"{error}; {refused_keys(error, manifest.launch.profile)}")

    monkeypatch.setattr(_test_job, "submit_runs", refuse)
    stops = []
    (result,) = _test_job.run_test_job(job, PreemptionGuard(), lambda text: None, stops)
    assert (result.severity, result.topic) == ("problem", "request")
    assert " ".join(result).count("`cluster.qos`=gone") == 1
    assert stops == os.listdir(tmp_path) == []
