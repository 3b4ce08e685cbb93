import pytest

from simplexity.runs import SlurmIds, slurm_ids

TASK = {
    "SLURM_JOB_ID": "21",
    "SLURM_ARRAY_JOB_ID": "20",
    "SLURM_ARRAY_TASK_ID": "1",
    "SLURM_RESTART_COUNT": "2",
    "SLURMD_NODENAME": "n1",
    "SLURM_CLUSTER_NAME": "dev",
}


def test_ids_come_from_the_environment(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert slurm_ids() is None
    assert slurm_ids(TASK) == SlurmIds("21", "20", "1", 2, "n1", "dev")
    # SLURM sets no restart count before the first requeue.
    assert slurm_ids({"SLURM_JOB_ID": "7"}) == SlurmIds("7", None, None, 0, None, None)
    for name, value in TASK.items():
        monkeypatch.setenv(name, value)
    assert slurm_ids() == slurm_ids(TASK)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"restart_count": 1}, True),
        ({"restart_count": 0, "node": "n2"}, True),
        ({"restart_count": 2}, False),
        ({"restart_count": 3}, False),
        ({"restart_count": 1, "job_id": "22"}, False),
        ({"restart_count": 1, "cluster": "other"}, False),
    ],
)
def test_a_requeue_is_the_same_job_with_a_higher_count(change, expected):
    ids = SlurmIds("21", "20", "1", 2, "n1", "dev")
    assert ids.is_requeue_of(ids._replace(**change)) is expected
    assert not ids.is_requeue_of(None)
