import importlib.util
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from contextlib import suppress

import pytest

from simplexity.loggers import MLflowLogger, RunFacts
from tests.loggers.attempt import Attempt

MODULE = "simplexity.loggers._sending_logger"
# What MLflow asks of SQLAlchemy.
_DEPRECATED = "ignore:The ``noload`` loader strategy:DeprecationWarning"
pytestmark = pytest.mark.filterwarnings(_DEPRECATED)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A database without runs, which takes MLflow seconds to make."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def run_directory(tmp_path, empty_store):
    directory = tmp_path / "a study" / "0"
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text("seed: 3\ntraining:\n  batch_size: 64\n  schedule: null\n")
    shutil.copy(empty_store, directory.parent)
    return directory


@pytest.fixture
def silent_server():
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def begin(run_directory, start_step, tracking_uri=None):
    return Attempt(run_directory, MLflowLogger(run_directory, "an experiment", tracking_uri), start_step)


def client_of(run_directory):
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{run_directory.parent}/mlflow.db")


def only_run(run_directory):
    client = client_of(run_directory)
    experiment = client.get_experiment_by_name("an experiment")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    return client, run


def steps_sent(run_directory):
    client, run = only_run(run_directory)
    return [point.step for point in client.get_metric_history(run.info.run_id, "loss")]


def test_a_run_has_its_numbers_config_and_figures(run_directory):
    attempt = begin(run_directory, 0).log(10, 20, 100)
    (run_directory / "figures").mkdir()
    (run_directory / "figures" / "loss.png").write_bytes(b"a picture")
    attempt.close()
    client, run = only_run(run_directory)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "a study/0"
    assert run.data.params == {"seed": "3", "training.batch_size": "64", "training.schedule": "None"}
    assert sorted(run.data.metrics) == ["loss", "timestamp"]
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(10, 1.25), (20, 2.5), (100, 12.5)]
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["config.yaml", "figures"]
    assert [file.path for file in client.list_artifacts(run.info.run_id, "figures")] == ["figures/loss.png"]


def test_a_resumed_run_goes_on_without_gap_or_double(run_directory):
    begin(run_directory, 0).log(10, 20, 30).close()
    begin(run_directory, 20).log(20, 30, 40).close()  # the first was killed past its checkpoint at 20
    assert only_run(run_directory)[1].info.status == "KILLED"
    begin(run_directory, 40).log(50, 100).close()
    assert only_run(run_directory)[1].info.status == "FINISHED"
    assert steps_sent(run_directory) == [10, 20, 30, 40, 50, 100]


def test_a_sweep_s_runs_stand_side_by_side(run_directory):
    for number in ("0", "1"):
        directory = run_directory.parent / number
        directory.mkdir(exist_ok=True)
        begin(directory, 0).log(100).close()
    client = client_of(run_directory)
    experiment = client.get_experiment_by_name("an experiment")
    assert {run.info.run_name for run in client.search_runs([experiment.experiment_id])} == {"a study/0", "a study/1"}


@pytest.fixture
def served(run_directory):
    """Asks a `mlflow ui` of the folder above the run's; it is MLflow's own, which needs more than the client here."""
    program = os.environ.get("SIMPLEXITY_TEST_MLFLOW")
    if program is None:
        pytest.skip("the program of the full MLflow (pip install mlflow, elsewhere) is not in SIMPLEXITY_TEST_MLFLOW")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [program, "ui", "--port", str(port), "--workers", "1"]
    log = run_directory / "ui.log"

    def get(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.read()

    with open(log, "w") as output:
        process = subprocess.Popen(
            command, cwd=run_directory.parent, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        for _ in range(120):
            with suppress(OSError):
                get("/health")
                break
            time.sleep(0.5)
        yield get
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.mark.timeout(300)
def test_mlflow_ui_shows_a_sweep_s_runs_with_config_and_figures(run_directory, served):
    for number in ("0", "1"):
        directory = run_directory.parent / number
        (directory / "figures").mkdir(parents=True)
        (directory / "figures" / "loss.png").write_bytes(b"a picture")
        (directory / "config.yaml").write_text(f"seed: {number}\n")
        begin(directory, 0).log(100).close()
    (experiment,) = client_of(run_directory).search_experiments(filter_string="name = 'an experiment'")
    assert served("/").startswith(b"<!doctype html>")
    for run in client_of(run_directory).search_runs([experiment.experiment_id]):
        shown = json.loads(served(f"/api/2.0/mlflow/runs/get?run_id={run.info.run_id}"))["run"]
        number = shown["info"]["run_name"].removeprefix("a study/")
        assert shown["data"]["params"] == [{"key": "seed", "value": number}]
        assert served(f"/get-artifact?path=figures/loss.png&run_uuid={run.info.run_id}") == b"a picture"
        assert served(f"/get-artifact?path=config.yaml&run_uuid={run.info.run_id}") == f"seed: {number}\n".encode()


def test_a_store_that_lacks_the_run_gets_a_new_one_with_all_lines(run_directory, empty_store):
    begin(run_directory, 0).log(10).close()
    shutil.copy(empty_store, run_directory.parent)
    begin(run_directory, 10).log(100).close()
    assert steps_sent(run_directory) == [10, 100]


def test_numbers_that_are_not_finite_are_kept_as_nan(run_directory):
    attempt = begin(run_directory, 0)
    for logger in attempt.loggers:
        logger.log(1, {"loss": math.inf, "timestamp": time.time()})
    attempt.close()
    client, run = only_run(run_directory)
    assert math.isnan(client.get_metric_history(run.info.run_id, "loss")[0].value)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://127.0.0.1:9", "Connection refused"),
        ("sqlite:////proc/nowhere/mlflow.db", "No such file or directory"),
        ("nonsense://x", ".*"),
    ],
)
def test_a_store_that_cannot_be_used_refuses_a_new_run_in_a_line(run_directory, uri, reason):
    began_s = time.monotonic()
    with pytest.raises(RuntimeError, match=rf"^MLflow's store `{uri}` cannot be used: {reason}; .*$") as caught:
        begin(run_directory, 0, uri)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began_s < 10


def test_a_server_that_never_answers_refuses_a_new_run(run_directory, silent_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with pytest.raises(RuntimeError, match="cannot be used: timed out; check `tracking_uri`"):
        begin(run_directory, 0, silent_server)


def test_a_stop_waits_a_few_seconds_for_a_server_that_hangs(run_directory, silent_server, monkeypatch, caplog):
    monkeypatch.setattr(f"{MODULE}.CLOSING_S", 0.5)
    (run_directory / "mlflow_run_id").write_text("0" * 32)  # of an earlier process: the server answered then
    began_s = time.monotonic()
    attempt = begin(run_directory, 0, silent_server).log(10, 20)
    assert time.monotonic() - began_s < 0.5, "training waited"
    attempt.close()
    assert time.monotonic() - began_s < 3
    (record,) = caplog.records
    assert "does not have all metrics of this run (it does not answer)" in record.getMessage()


def test_what_a_store_that_failed_lacks_is_sent_later(run_directory, monkeypatch, caplog):
    from mlflow.tracking import MlflowClient

    monkeypatch.setattr(f"{MODULE}._SECONDS_BETWEEN_BATCHES", 0.05)
    attempt = begin(run_directory, 0)
    whole = MlflowClient.log_batch
    failures = []

    def fail(*args, **kwargs):
        failures.append(args)
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(MlflowClient, "log_batch", fail)
    attempt.log(10, 20)
    while len(failures) < 3:
        time.sleep(0.01)
    (record,) = caplog.records
    assert record.getMessage().endswith("fails: Connection reset by peer; it is tried again")
    attempt.close()
    assert "does not have all metrics of this run (Connection reset by peer)" in caplog.records[-1].getMessage()
    resumed = begin(run_directory, 20)
    while len(failures) < 6:
        time.sleep(0.01)
    monkeypatch.setattr(MlflowClient, "log_batch", whole)
    resumed.log(30)
    resumed.close()
    assert steps_sent(run_directory) == [10, 20, 30]


def test_without_a_file_of_metrics_there_is_nothing_to_send(run_directory):
    with pytest.raises(RuntimeError, match="put a `FileLogger` before its logger"):
        MLflowLogger(run_directory, "an experiment", None).start(RunFacts(1, 0, 64))


def test_a_former_holder_of_the_run_writes_no_id(run_directory):
    def lost():
        raise RuntimeError("another process took over")

    logger = MLflowLogger(run_directory, "an experiment", None, require_held=lost)
    with pytest.raises(RuntimeError, match="cannot be used: another process took over"):
        Attempt(run_directory, logger, 0)
    assert not (run_directory / "mlflow_run_id").exists()


def test_without_mlflow_the_remedy_is_named(run_directory, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'simplexity\[mlflow\]'$"):
        MLflowLogger(run_directory, "an experiment", None)


@pytest.mark.slow
def test_nothing_leaves_the_machine_and_nothing_is_printed(run_directory):
    (run_directory.parent / "mlflow.db").unlink()
    script = """
        import logging, socket, sys
        from pathlib import Path

        def refuse(self, address):
            raise AssertionError(f"a connection to {address}")

        socket.socket.connect = refuse
        from simplexity.loggers import FileLogger, MLflowLogger, RunFacts
        assert "mlflow" not in sys.modules
        loggers = [FileLogger(Path(sys.argv[1])), MLflowLogger(Path(sys.argv[1]), "an experiment", None)]
        for logger in loggers:
            logger.start(RunFacts(1, 0, 64))
            logger.log(1, {"loss": 0.5, "timestamp": 0.0})
        for logger in loggers:
            logger.close()
        from mlflow.telemetry.utils import is_telemetry_disabled
        assert is_telemetry_disabled()
    """
    command = [sys.executable, "-W", "error", "-W", _DEPRECATED, "-c", textwrap.dedent(script), run_directory]
    # MLflow takes these for a machine on which it reports nothing anyway.
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_CURRENT_TEST")}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert sorted(os.listdir(run_directory)) == ["config.yaml", "metrics.jsonl", "mlflow_run_id"]
    assert sorted(os.listdir(run_directory.parent)) == [".mlflow.lock", "0", "mlartifacts", "mlflow.db"]
    assert steps_sent(run_directory) == [1]
