"""What a resumed run makes of snapshots and lines of analysis.jsonl that are gone."""

import errno

import pytest

from simplexity.composition import compose
from simplexity.persistence import SnapshotSchedule, SnapshotWriter
from simplexity.running import _lost_outputs
from simplexity.running._analysis import Analysis
from simplexity.running._build import build
from simplexity.running._lost_outputs import write_lost_outputs
from simplexity.runs import LostLockError, RunDirectory

TINY = (
    "analysis.length=3", "analysis.every=2", "predictive_model.instance.hidden_size=4", "training.num_train_steps=10"
)  # fmt: skip


def never():
    return False


def everything(directory):
    files = [*directory.snapshots_path.glob("*"), directory.analysis_path]
    return {path.name: path.read_bytes() for path in files if path.exists()}


@pytest.fixture
def run(tmp_path):
    """A run's folder with snapshots of the steps 0, 2, 4 and analyses of 2 and 4, and what resumes it at step 5."""
    experiment = build(compose("experiment", TINY))
    directory = RunDirectory.create(tmp_path / "run")
    snapshots = SnapshotWriter(directory.snapshots_path, SnapshotSchedule(every=2), 10, {})
    snapshots.open()
    analysis = Analysis(directory, experiment, experiment.analysis)
    model = experiment.initial_state().model
    for step in (0, 2, 4):
        snapshots.observe(step, model, never)
        if step:
            analysis.observe(step, model, never)
    snapshots.flush()

    def resume(interrupted=never, step=5):
        return write_lost_outputs(directory, step, experiment.model_shapes(), snapshots, analysis, interrupted)

    return directory, resume


def test_lost_analyses_are_written_again_from_saved_models(run, caplog):
    directory, resume = run
    before = everything(directory)
    assert resume() == []
    assert not caplog.messages
    directory.analysis_path.unlink()
    # What is not written because a stop was requested is for the next start, and not lost.
    assert resume(lambda: True) == []
    assert not caplog.messages
    assert resume() == []
    assert caplog.messages == ["analysis.jsonl lacked steps 2, 4: written again from the saved models"]
    assert everything(directory) == before


def test_an_analysis_that_fails_is_tried_at_one_step(run, monkeypatch, caplog):
    directory, resume = run
    directory.analysis_path.unlink()
    failures = []

    def fail(*arguments, **keywords):
        failures.append(arguments)
        raise ValueError("the user's own process")

    monkeypatch.setattr(Analysis, "_line", fail)
    assert resume() == ["analysis.jsonl had nothing of steps 2, 4, and still has not: it could not be computed"]
    assert len(failures) == 1
    assert not any("lost" in message for message in caplog.messages)


def test_a_saved_model_that_is_corrupt_does_not_stop_the_run(run, caplog):
    directory, resume = run
    before = everything(directory)
    lines = directory.analysis_path.read_text().splitlines(keepends=True)
    directory.analysis_path.unlink()
    corrupt = directory.snapshots_path / "2.safetensors"
    content = bytearray(corrupt.read_bytes())
    content[-1] ^= 1
    corrupt.write_bytes(content)
    (missing,) = resume()
    assert missing.startswith("analysis.jsonl had nothing of step 2, and still has not: ")
    assert "2.safetensors" in missing
    assert "corrupt" in missing
    assert missing in caplog.messages
    assert directory.analysis_path.read_text() == lines[1]
    corrupt.write_bytes(before[corrupt.name])
    assert resume() == []
    assert everything(directory) == before


@pytest.mark.parametrize("function", ["read_model", "saved_steps"])
def test_saved_models_that_cannot_be_read_do_not_stop_the_run(run, monkeypatch, function):
    directory, resume = run
    directory.analysis_path.unlink()
    pauses_s = []

    def fail(*arguments):
        raise OSError(errno.EIO, "Input/output error", "2.safetensors")

    monkeypatch.setattr(_lost_outputs, function, fail)
    monkeypatch.setattr("time.sleep", pauses_s.append)
    (missing,) = resume()
    reason = "`2.safetensors` cannot be read: Input/output error"
    assert missing.startswith(f"analysis.jsonl had nothing of steps 2, 4, and still has not: {reason}")
    assert len(pauses_s) == 3  # and not as many for each step


def test_a_run_that_another_process_has_taken_over_ends(run, monkeypatch):
    directory, resume = run
    directory.analysis_path.unlink()

    def lose(*arguments):
        raise LostLockError("another process took over")

    monkeypatch.setattr(Analysis, "_write", lose)
    with pytest.raises(LostLockError):
        resume()


def test_what_no_saved_model_gives_is_said(run, caplog):
    directory, resume = run
    lines = directory.analysis_path.read_text().splitlines(keepends=True)
    directory.analysis_path.write_text(lines[1])
    for step in (0, 2):
        (directory.snapshots_path / f"{step}.safetensors").unlink()
    assert resume() == [
        "snapshots had nothing of steps 0, 2, though the checkpoint is of step 5",
        "analysis.jsonl had nothing of step 2, though the checkpoint is of step 5",
    ]
    assert [message.endswith(": that is lost") for message in caplog.messages] == [True, True]
    # Training itself comes by the step that it is resumed at.
    assert resume(step=0) == []
