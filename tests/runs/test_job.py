from concurrent.futures import ThreadPoolExecutor

import pytest

from simplexity.runs import Job, this_job, thread_job
from simplexity.runs._job import SlurmIds, slurm_ids

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


def test_what_a_batch_script_says_of_its_job():
    said = {
        "SIMPLEXITY_SUBMISSION": "array_0",
        "SIMPLEXITY_JOB_START": "1000",
        "SIMPLEXITY_TIME_LIMIT_S": "600",
        "SIMPLEXITY_SIGNAL_LEAD_S": "120",
    }
    assert this_job(said) == Job("array_0", 1000.0, 600, 120)
    assert this_job({}) is None
    job = this_job({"SIMPLEXITY_SUBMISSION": "local_1"})
    assert job is not None
    assert not job.is_over(job.start + 1e9)


@pytest.mark.parametrize(
    ("limit_s", "lead_s", "after_s", "is_over"),
    [(600, 120, 400, False), (600, 120, 420, True), (600, 120, 480, True), (60, 5, 20, False), (60, 5, 54, True)],
)
def test_a_signal_near_the_time_limit_is_its_own(limit_s, lead_s, after_s, is_over):
    """SLURM sends it up to a minute early."""
    assert Job("array_0", 1000.0, limit_s, lead_s).is_over(1000.0 + after_s) is is_over


def test_each_thread_of_a_worker_has_a_job_of_its_own(monkeypatch):
    monkeypatch.setenv("SIMPLEXITY_SUBMISSION", "array_0")
    monkeypatch.setenv("SIMPLEXITY_JOB_START", "1000")
    monkeypatch.setenv("SIMPLEXITY_TIME_LIMIT_S", "600")

    def job_of(submission, starts_now):
        with thread_job(submission, starts_now=starts_now):
            return this_job()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(job_of, "array_1", False).result() == Job("array_1", 1000.0, 600, 0)
        late = pool.submit(job_of, "array_1", True).result()
        assert late is not None
        assert late.start > 1000.0
        assert pool.submit(job_of, None, False).result() is None
        assert pool.submit(this_job).result() == Job("array_0", 1000.0, 600, 0)
    assert this_job() == Job("array_0", 1000.0, 600, 0)
