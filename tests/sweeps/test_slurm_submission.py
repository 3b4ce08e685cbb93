"""Submissions that SLURM refuses, by an sbatch that does as a test wants."""

import pytest

from simplexity.cluster import SlurmError
from simplexity.host import PreemptionGuard
from simplexity.sweeps import _scheduler_state, _slurm_submission, retry, submit_runs


@pytest.fixture
def sbatch(monkeypatch):
    """Answers of the next submissions: a job id, or an error to raise."""
    answers = []

    def submit(script):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(_slurm_submission, "submit", submit)
    monkeypatch.setattr(_slurm_submission, "slurm_is_installed", lambda: True)
    monkeypatch.setattr(_slurm_submission, "cluster_configuration", lambda: {"MaxArraySize": "2"})
    monkeypatch.setattr(_scheduler_state, "queued_tasks", lambda jobs: {})
    return answers


def test_a_refused_array_says_what_was_submitted_before_and_how_to_go_on(make_sweep, slurm_launch, sbatch):
    sweep = make_sweep(*[{}] * 5, launch=slurm_launch())
    sbatch += ["7", SlurmError("`sbatch` failed: Job violates accounting/QOS policy (job submit limit)")]
    with pytest.raises(SlurmError) as caught:
        submit_runs(sweep, sweep.read_manifest(), range(5))
    assert "2 of 5 runs were submitted before that, as 7; for the others: simplexity retry " in str(caught.value)
    assert [submission.indices for submission in sweep.read_submissions()] == [(0, 1)]


@pytest.mark.parametrize(
    ("said", "profile", "keys"),
    [
        ("Invalid generic resource (gres) specification", {"gpus_per_node": 2}, "`cluster.gpus_per_node`=2, null"),
        ("Invalid generic resource (gres) specification", {"gres": "gpu:a100:1"}, "`cluster.gres`=gpu:a100:1, null"),
        ("invalid partition specified: nope", {"partition": "nope"}, "`cluster.partition`=nope or choose"),
        ("Invalid account or account/partition combination", {"account": "x"}, "`cluster.account`=x"),
        ("Invalid qos specification", {"qos": "long"}, "`cluster.qos`=long"),
        ("Invalid feature specification", {"constraint": "a100"}, "`cluster.constraint`=a100"),
        ("Memory specification can not be satisfied", {"memory": "9T"}, "`cluster.memory`=9T"),
        ("Requested node configuration is not available", {"cpus_per_task": 99}, "`cluster.cpus_per_task`=99"),
        ("Requested time limit is invalid", {"time_limit_minutes": 99}, "`cluster.time_limit_minutes`=99"),
    ],
)
def test_a_refusal_names_the_key_to_change(make_sweep, slurm_launch, sbatch, said, profile, keys):
    sweep = make_sweep({}, launch=slurm_launch(**profile))
    sbatch.append(SlurmError(f"`sbatch` failed: sbatch: error: {said}"))
    with pytest.raises(SlurmError) as caught:
        submit_runs(sweep, sweep.read_manifest(), [0])
    assert said in str(caught.value)
    assert "; change `cluster." in str(caught.value)
    assert keys in str(caught.value)


def test_a_refused_retry_lists_nothing_as_started(make_sweep, slurm_launch, sbatch, capfd):
    sweep = make_sweep({}, {}, launch=slurm_launch())
    sbatch += [SlurmError("`sbatch` failed: no"), "8"]
    again = {"failed": True, "missing": True, "changed_image": False}
    with PreemptionGuard() as guard, pytest.raises(SlurmError):
        retry(sweep, guard, **again)
    assert capfd.readouterr().out == ""
    sbatch[:] = ["8"]
    with PreemptionGuard() as guard:
        retry(sweep, guard, **again)
    assert capfd.readouterr().out.splitlines()[:2] == ["again: #0 seed=0", "again: #1 seed=1"]
