import importlib.util
import json
import math
import os
import struct
import subprocess
import sys
import textwrap
import time

import pytest

from simplexity.loggers import TensorBoardLogger
from tests.loggers.attempt import Attempt

pytest.importorskip("tensorboard", reason="TensorBoard is not installed: simplexity[tensorboard]")


def begin(run_directory, start_step):
    return Attempt(run_directory, TensorBoardLogger(run_directory), start_step)


def shown(run_directory):
    """What TensorBoard reads of the run."""
    from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(run_directory / "tensorboard"))
    return accumulator.Reload()


def curve(run_directory, name="loss"):
    events = shown(run_directory).Tensors(name)
    return [(event.step, event.tensor_proto.float_val[0]) for event in events]


def test_a_run_has_its_numbers_config_and_figures(run_directory):
    attempt = begin(run_directory, 0).log(10, 20, 100)
    (run_directory / "figures").mkdir()
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 4, 3)
    (run_directory / "figures" / "loss.png").write_bytes(png)
    (run_directory / "figures" / "loss.svg").write_text("<svg/>")
    attempt.close()
    assert curve(run_directory) == [(10, 1.25), (20, 2.5), (100, 12.5)]
    accumulator = shown(run_directory)
    tags = set(accumulator.Tags()["tensors"])
    assert {"config", "figures/loss", "loss", "timestamp"} <= tags
    assert "validation_loss_per_position" not in tags
    (config,) = accumulator.Tensors("config")
    assert b"    training:\n      batch_size: 64" in config.tensor_proto.string_val[0]
    (figure,) = accumulator.Tensors("figures/loss")
    assert list(figure.tensor_proto.string_val)[:3] == [b"4", b"3", png]


def test_a_resumed_run_goes_on_without_gap_or_double(run_directory):
    begin(run_directory, 0).log(10, 20, 30).close()
    # The first was killed past its checkpoint at 20. Other numbers show which of the two stay.
    begin(run_directory, 20).log(20, 30, 40, scale=2).close()
    begin(run_directory, 40).log(50, 100).close()
    assert curve(run_directory) == [(10, 1.25), (20, 2.5), (30, 15.0), (40, 20.0), (50, 6.25), (100, 12.5)]


def test_what_a_killed_process_did_not_write_is_written_by_the_next(run_directory):
    begin(run_directory, 0).log(10, 20).close()
    (file,) = (run_directory / "tensorboard").iterdir()
    file.write_bytes(file.read_bytes()[:-3])  # of the line of step 20
    begin(run_directory, 20).log(30).close()
    assert [step for step, _ in curve(run_directory)] == [10, 20, 30]


def test_a_run_that_is_begun_again_has_only_its_new_numbers(run_directory):
    begin(run_directory, 0).log(10, 20, 30).close()
    (run_directory / "metrics.jsonl").unlink()
    begin(run_directory, 0).log(15).close()
    assert [step for step, _ in curve(run_directory)] == [15]


def test_numbers_that_are_not_finite_are_kept_as_nan(run_directory):
    attempt = begin(run_directory, 0)
    for logger in attempt.loggers:
        logger.log(1, {"loss": math.inf, "timestamp": time.time()})
    attempt.close()
    assert math.isnan(curve(run_directory)[0][1])


def test_a_folder_that_cannot_be_written_refuses_a_new_run_in_a_line(run_directory):
    (run_directory / "tensorboard").symlink_to("/proc/nowhere")
    with pytest.raises(RuntimeError, match=r"^TensorBoard's folder `.*` cannot be used: .*; see whether .*$") as caught:
        begin(run_directory, 0)
    assert "\n" not in str(caught.value)


def test_without_tensorboard_the_remedy_is_named(run_directory, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'simplexity\[tensorboard\]'$"):
        TensorBoardLogger(run_directory)


@pytest.mark.slow
def test_nothing_is_printed_and_tensorflow_is_not_imported(run_directory):
    script = """
        import sys
        from pathlib import Path
        from simplexity.loggers import FileLogger, RunFacts, TensorBoardLogger
        assert "tensorboard" not in sys.modules
        loggers = [FileLogger(Path(sys.argv[1])), TensorBoardLogger(Path(sys.argv[1]))]
        for logger in loggers:
            logger.start(RunFacts(1, 0, 64))
            logger.log(1, {"loss": 0.5, "timestamp": 0.0})
        for logger in loggers:
            logger.close()
        assert "tensorflow" not in sys.modules
    """
    command = [sys.executable, "-c", textwrap.dedent(script), run_directory]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert sorted(os.listdir(run_directory)) == ["config.yaml", "metrics.jsonl", "tensorboard"]
    assert json.loads((run_directory / "metrics.jsonl").read_text())["loss"] == 0.5
