import importlib.util
import math
import os
import subprocess
import sys
import textwrap

import pytest

from simplexity.loggers import MLflowLogger, RunFacts


def attempt(run_directory, start_step, steps, tracking_uri=None, num_train_steps=100, close=True):
    logger = MLflowLogger(run_directory, "an experiment", tracking_uri)
    logger.start(RunFacts(num_train_steps, start_step, 64))
    for step in steps:
        logger.progress(step)
        logger.log(step, {"loss": step / 8, "validation_loss_per_position": [0.5], "tokens_seen": 64 * step})
    logger.flush()
    if close:
        logger.close()
    return logger


def only_run(store):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=store.as_uri())
    experiment = client.get_experiment_by_name("an experiment")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    return client, run


@pytest.fixture
def run_directory(tmp_path):
    directory = tmp_path / "a study" / "2026-01-01"
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text("seed: 3\ntraining:\n  batch_size: 64\n  schedule: null\n")
    return directory


def test_logs_numbers_and_config_to_a_store_in_the_run_directory(run_directory):
    attempt(run_directory, 0, [10, 20, 100])
    client, run = only_run(run_directory / "mlruns")
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "a study/2026-01-01"
    assert run.data.params == {"seed": "3", "training.batch_size": "64", "training.schedule": "None"}
    assert sorted(run.data.metrics) == ["loss", "tokens_seen"]
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(10, 1.25), (20, 2.5), (100, 12.5)]


def test_a_resumed_run_goes_on_without_gap_or_double(run_directory):
    attempt(run_directory, 0, [10, 20, 30], close=False)  # killed past its checkpoint at 20
    attempt(run_directory, 20, [20, 30, 40])  # preempted
    client, run = only_run(run_directory / "mlruns")
    assert run.info.status == "KILLED"
    attempt(run_directory, 40, [50, 100])
    client, run = only_run(run_directory / "mlruns")
    assert run.info.status == "FINISHED"
    for name in ("loss", "tokens_seen"):
        assert [p.step for p in client.get_metric_history(run.info.run_id, name)] == [10, 20, 30, 40, 50, 100]


def test_a_store_that_lacks_the_run_gets_a_new_one(run_directory, tmp_path):
    attempt(run_directory, 0, [10])
    other = tmp_path / "other"
    attempt(run_directory, 10, [100], tracking_uri=other.as_uri())
    client, run = only_run(other)
    assert [p.step for p in client.get_metric_history(run.info.run_id, "loss")] == [100]


def test_numbers_that_are_none_are_kept(run_directory):
    logger = MLflowLogger(run_directory, "an experiment", None)
    logger.start(RunFacts(1, 0, 64))
    logger.log(1, {"loss": math.nan})
    logger.close()
    client, run = only_run(run_directory / "mlruns")
    assert math.isnan(client.get_metric_history(run.info.run_id, "loss")[0].value)


def test_a_store_that_cannot_be_used_is_told_at_the_start(run_directory, tmp_path):
    (tmp_path / "file").touch()
    logger = MLflowLogger(run_directory, "an experiment", (tmp_path / "file").as_uri())
    with pytest.raises(
        RuntimeError, match=r"MLflow's store `file:.*` cannot be used: .*; check `tracking_uri`"
    ) as caught:
        logger.start(RunFacts(1, 0, 64))
    assert "\n" not in str(caught.value)
    logger.close()


def test_a_store_that_fails_later_is_warned_of_once_and_stops_nothing(run_directory, monkeypatch, caplog):
    logger = attempt(run_directory, 0, [10], close=False)

    def fail(*args, **kwargs):
        raise ConnectionError("refused\nby a long story")

    monkeypatch.setattr(logger._client, "log_batch", fail)
    for step in (20, 30):
        logger.log(step, {"loss": 1.0})
        logger.flush()
    logger.close()
    (record,) = caplog.records
    assert record.getMessage().endswith("gets no more metrics: refused")


def test_without_mlflow_the_remedy_is_named(run_directory, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'simplexity\[mlflow\]'$"):
        MLflowLogger(run_directory, "an experiment", None)


def test_nothing_leaves_the_machine_and_nothing_is_printed(run_directory):
    script = """
        import socket, sys
        from pathlib import Path

        def refuse(self, address):
            raise AssertionError(f"a connection to {address}")

        socket.socket.connect = refuse
        from simplexity.loggers import MLflowLogger, RunFacts
        assert "mlflow" not in sys.modules
        logger = MLflowLogger(Path(sys.argv[1]), "an experiment", None)
        logger.start(RunFacts(1, 0, 64))
        logger.log(1, {"loss": 0.5})
        logger.close()
        from mlflow.telemetry.utils import is_telemetry_disabled
        assert is_telemetry_disabled()
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), run_directory]
    # MLflow takes these for a machine on which it reports nothing anyway.
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_CURRENT_TEST")}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert sorted(os.listdir(run_directory)) == ["config.yaml", "mlflow_run_id", "mlruns"]
