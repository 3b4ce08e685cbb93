import importlib.util
import json
import socket
import struct
import subprocess
import sys
import textwrap
import time

import pytest

from simplexity.loggers import WandbLogger
from tests.loggers.attempt import Attempt

pytest.importorskip("wandb", reason="Weights & Biases' package is not installed: simplexity[wandb]")


@pytest.fixture(autouse=True)
def enough_time_to_close(monkeypatch):
    """What is not written after some seconds is left, which on a busy machine may be all of it."""
    for module in ("_sending_logger", "_wandb_logger"):
        monkeypatch.setattr(f"simplexity.loggers.{module}.CLOSING_S", 60.0)


def begin(run_directory, start_step, mode="offline"):
    return Attempt(run_directory, WandbLogger(run_directory, "a project", mode), start_step)


def records(run_directory):
    """What `wandb sync` would send: the records of each process's file, in the order of their names."""
    from wandb.proto.wandb_internal_pb2 import Record

    for path in sorted((run_directory / "wandb").glob("offline-run-*/*.wandb")):
        for content in _contents(path.read_bytes()[7:]):
            yield Record.FromString(content)


def _contents(block):
    """Splits a file of LevelDB's log format, as Weights & Biases writes it, of less than a block of 32 KiB."""
    assert len(block) < 2**15 - 7
    while block:
        _, length, kind = struct.unpack("<IHB", block[:7])
        assert kind == 1, "a record that is not whole"
        yield block[7 : 7 + length]
        block = block[7 + length :]


def history(run_directory, name="loss"):
    """The steps and values of a number, or of what an image is made of."""
    found = []
    for record in records(run_directory):
        items = {tuple(item.nested_key) or (item.key,): json.loads(item.value_json) for item in record.history.item}
        values = {key[1:]: value for key, value in items.items() if key[0] == name}
        if values:
            found.append((record.history.step.num, values.get((), values)))
    return found


def test_a_run_has_its_numbers_config_and_figures(run_directory):
    from PIL import Image

    attempt = begin(run_directory, 0).log(10, 20, 100)
    (run_directory / "figures").mkdir()
    Image.new("RGB", (4, 3)).save(run_directory / "figures" / "loss.png")
    attempt.close()
    assert history(run_directory) == [(10, 1.25), (20, 2.5), (100, 12.5)]
    assert history(run_directory, "validation_loss_per_position") == []
    (run,) = [record.run for record in records(run_directory) if record.HasField("run")]
    assert (run.project, run.display_name, run.run_group) == ("a project", "a study/0", "a study")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["training"] == {"batch_size": 64}
    ((step, figure),) = history(run_directory, "figures/loss")
    assert (step, figure["width",], figure["height",]) == (100, 4, 3)


def test_every_process_of_a_run_continues_one_id_and_sends_what_was_not_sent(run_directory):
    begin(run_directory, 0).log(10, 20, 30).close()
    begin(run_directory, 20).log(20, 30, 40).close()  # the first was killed past its checkpoint at 20
    begin(run_directory, 40).log(50, 100).close()
    assert [step for step, _ in history(run_directory)] == [10, 20, 30, 40, 50, 100]
    runs = [record.run for record in records(run_directory) if record.HasField("run")]
    assert len(runs) == 3
    assert {run.run_id for run in runs} == {json.loads((run_directory / "wandb_run.json").read_text())["id"]}


def test_what_a_killed_process_may_have_lost_is_sent_again(run_directory):
    begin(run_directory, 0).log(10).close()
    record = (run_directory / "wandb_run.json").read_text()
    begin(run_directory, 10).log(20).close()
    (run_directory / "wandb_run.json").write_text(record)  # as if it had not closed
    begin(run_directory, 20).log(30).close()
    assert [step for step, _ in history(run_directory)] == [10, 20, 20, 30]


def test_a_folder_that_cannot_be_written_refuses_a_new_run_in_a_line(run_directory):
    (run_directory / "wandb").write_text("")
    with pytest.raises(RuntimeError, match=r"^Weights & Biases \(offline, `.*`\) cannot be used: .*$") as caught:
        begin(run_directory, 0)
    assert "\n" not in str(caught.value)


def test_a_server_that_never_answers_refuses_a_new_run(run_directory, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr("simplexity.loggers._sending_logger._OPENING_S", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        began_s = time.monotonic()
        with pytest.raises(RuntimeError, match=r"cannot be used: .*; choose `mode: offline`"):
            begin(run_directory, 0, "online")
    assert time.monotonic() - began_s < 10


def test_a_former_holder_of_the_run_writes_no_record(run_directory, monkeypatch):
    import wandb

    def lost():
        raise RuntimeError("another process took over")

    # After the run was opened, which may take long, as well as before.
    for answers in ([None, lost], [lost]):
        left = iter(answers)
        monkeypatch.setattr(wandb, "init", lambda **settings: None)
        logger = WandbLogger(run_directory, "a project", "offline", lambda left=left: (next(left) or int)())
        with pytest.raises(RuntimeError, match="cannot be used: another process took over"):
            Attempt(run_directory, logger, 0)
        assert next(left, None) is None
    assert not (run_directory / "wandb_run.json").exists()


def test_without_the_package_the_remedy_is_named(run_directory, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'simplexity\[wandb\]'$"):
        WandbLogger(run_directory, "a project", "offline")


@pytest.mark.slow
def test_nothing_leaves_the_process_but_its_files_and_its_exit_code_is_its_own(run_directory):
    script = """
        import socket, sys
        from pathlib import Path

        connect = socket.socket.connect

        def refuse(self, address):
            if not (isinstance(address, str) or address[0] in ("127.0.0.1", "localhost")):
                raise AssertionError(f"a connection to {address}")
            return connect(self, address)

        socket.socket.connect = refuse
        from simplexity.loggers import FileLogger, RunFacts, WandbLogger
        assert "wandb" not in sys.modules
        loggers = [FileLogger(Path(sys.argv[1])), WandbLogger(Path(sys.argv[1]), "a project", "offline")]
        for logger in loggers:
            logger.start(RunFacts(1, 0, 64))
            logger.log(1, {"loss": 0.5, "timestamp": 0.0})
        for logger in loggers:
            logger.close()
        sys.exit(85)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), run_directory]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (85, "", "")
    assert history(run_directory) == [(1, 0.5)]
