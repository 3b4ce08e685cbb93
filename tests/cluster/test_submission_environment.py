from simplexity.cluster import submission_environment


def test_only_what_says_which_cluster_survives():
    variables = {
        "PATH": "/bin", "HOME": "/root", "SLURM_CONF": "/c/slurm.conf", "SLURM_JWT": "token",
        "SLURM_JOB_ID": "7", "SLURM_TIME_FORMAT": "relative", "SBATCH_PARTITION": "high", "SQUEUE_STATES": "all",
        "SACCT_FORMAT": "jobid", "SCANCEL_INTERACTIVE": "1",
    }  # fmt: skip
    assert set(submission_environment(variables)) == {"PATH", "HOME", "SLURM_CONF", "SLURM_JWT"}


def test_it_is_this_process_s_environment_by_default(monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("KEPT", "yes")
    environment = submission_environment()
    assert environment["KEPT"] == "yes"
    assert "SLURM_ARRAY_TASK_ID" not in environment
