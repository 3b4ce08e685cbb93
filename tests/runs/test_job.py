import pytest

from simplexity.runs import Job, this_job


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
