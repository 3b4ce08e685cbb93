"""The order of the examination is tested on a real SLURM, in tests/slurm."""

from datetime import datetime, timedelta

import pytest

from simplexity.cluster import SlurmError
from simplexity.doctor._check_cluster import _no_slurm, _start


@pytest.mark.parametrize(
    ("wait", "text"),
    [
        (timedelta(seconds=1), ", and start it now"),
        (timedelta(hours=2, seconds=5), ", and start it in about 2 h"),
        (timedelta(days=3, seconds=5), ", and start it in about 3 d"),
    ],
)
def test_when_a_job_would_start(wait, text):
    when = (datetime.now() + wait).isoformat(timespec="seconds")
    assert _start(f"sbatch: Job 3 to start at {when} using 1 processors on nodes n1 in partition low") == text


def test_answers_that_tell_no_time():
    assert _start("sbatch: fine") == _start("sbatch: Job 3 to start at Unknown using 1 processors") == ""


@pytest.mark.parametrize(
    ("error", "found"),
    [
        ("`scontrol` failed: Unable to contact slurm controller", "`scontrol` failed: Unable to contact"),
        ("`scontrol` failed: Could not establish a configuration source", "there is no slurm.conf"),
    ],
)
def test_a_slurm_that_does_not_answer(monkeypatch, error, found):
    monkeypatch.setattr("simplexity.doctor._check_cluster.slurm_is_installed", lambda: True)
    finding = _no_slurm(SlurmError(error))
    assert found in finding.found
    for remedy in ("slurm/dev-cluster up", "hydra.launcher.dry_run=true", "hydra/launcher=local"):
        assert remedy in finding.change
