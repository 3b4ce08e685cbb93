import logging

from simplexity.host import PreemptionGuard
from simplexity.running import _failures, run_frozen


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
