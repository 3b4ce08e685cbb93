import logging

from simplexity.host import PreemptionGuard
from simplexity.running import _failures, _resume, run_frozen
from simplexity.runs import UnreadableError


def test_a_log_that_cannot_be_written_is_one_line(tmp_path, capfd, monkeypatch):
    """As of a run of another user's: its log is not this user's to write."""
    # Hydra may have configured the real one, in a test before this.
    monkeypatch.setattr(_failures, "_log", logging.Logger("of this test"))
    _failures._log.addHandler(logging.NullHandler())
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "run_experiment.log").mkdir()
    with PreemptionGuard() as guard:
        assert run_frozen(tmp_path, guard, None) == 1
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1
    assert "run_experiment.log" in printed


def test_all_tasks_of_a_step_that_cannot_read_a_file_answer_alike_and_come_back_once(tmp_path, monkeypatch):
    def fail(run_dir):
        raise UnreadableError("hydra.yaml cannot be read")

    monkeypatch.setattr(_resume, "restore_surroundings", fail)
    step = {"SIMPLEXITY_SUBMISSION": "a", "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "3"}
    for name, value in step.items():
        monkeypatch.setenv(name, value)

    def start(restart_count):
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(restart_count))
        with PreemptionGuard() as guard:
            return [run_frozen(tmp_path, guard, None) for _ in range(3)]

    assert start(0) == [85] * 3
    assert start(1) == [1] * 3
    # Started by hand, once more in the same way.
    assert start(2) == [85] * 3
    assert start(3) == [1] * 3
