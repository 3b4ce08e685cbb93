"""How a start ends whose body fails, without a body."""

import errno

import pytest

from simplexity.cluster import PreemptionGuard
from simplexity.composition import _execute, execute
from simplexity.runs import EventKind, ExitCode, UnreadableError, read_ledger


@pytest.fixture
def start(tmp_path, monkeypatch):
    """An error -> the exit code of a start that meets it; the error is raised where the start does not come back."""
    (tmp_path / "config.yaml").write_text("training:\n  num_train_steps: 5\n")
    monkeypatch.delenv("SIMPLEXITY_SUBMISSION", raising=False)

    def run(error: Exception) -> int:
        def fail(*arguments):
            raise error

        monkeypatch.setattr(_execute, "_attempt", fail)
        return execute(tmp_path, PreemptionGuard()).exit_code

    return run


def last_event(tmp_path):
    return read_ledger(tmp_path / "run.jsonl")[-1]


def unreadable() -> UnreadableError:
    return UnreadableError("the checkpoint of step 100 cannot be read")


def test_a_file_that_cannot_be_read_is_tried_once_more_by_the_batch_script(start, tmp_path, monkeypatch):
    monkeypatch.setenv("SIMPLEXITY_SUBMISSION", "array_0")
    assert start(unreadable()) == ExitCode.REQUEUE
    event = last_event(tmp_path)
    assert (event.kind, event.comes_back) == (EventKind.FAILED, True)
    assert event.reason == "UnreadableError: the checkpoint of step 100 cannot be read"
    with pytest.raises(RuntimeError, match="cannot be read"):
        start(unreadable())
    assert last_event(tmp_path).comes_back is None


def test_nobody_is_there_to_try_again_without_a_batch_script(start, tmp_path):
    with pytest.raises(RuntimeError, match="cannot be read"):
        start(unreadable())
    assert last_event(tmp_path).comes_back is None


@pytest.mark.parametrize("error", [RuntimeError("the loss is not finite"), OSError(errno.ENOSPC, "No space left")])
def test_what_does_not_pass_is_not_tried_again(start, tmp_path, monkeypatch, error):
    monkeypatch.setenv("SIMPLEXITY_SUBMISSION", "array_0")
    with pytest.raises(type(error)):
        start(error)
    assert last_event(tmp_path).comes_back is None


def test_a_retry_by_hand_is_not_counted(start, tmp_path, monkeypatch):
    monkeypatch.setenv("SIMPLEXITY_SUBMISSION", "array_0")
    for _ in range(4):  # each killed
        with pytest.raises(KeyboardInterrupt):
            start(KeyboardInterrupt())  # pyright: ignore[reportArgumentType]
    with pytest.raises(RuntimeError, match="4 starts in a row saved nothing after step 0"):
        start(RuntimeError("never reached"))
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            start(KeyboardInterrupt())  # pyright: ignore[reportArgumentType]
    monkeypatch.setenv("SIMPLEXITY_SUBMISSION", "array_1")
    with pytest.raises(RuntimeError, match="reached"):
        start(RuntimeError("reached"))
