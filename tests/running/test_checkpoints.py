"""Whether a run begins, resumes or is refused, by what its folder has."""

import pytest

from simplexity.composition import compose
from simplexity.loggers import RunFacts
from simplexity.running._checkpoints import NoCheckpoints, restore
from simplexity.running._records import FirstStepLogger
from simplexity.runs import EventKind, Ledger, RunDirectory
from simplexity.training import TrainState


@pytest.fixture
def directory(tmp_path):
    return RunDirectory.create(tmp_path)


def begins(directory, ledger, lines):
    """Whether the run begins at step 0, as it does unless it is refused: nothing is saved."""
    config, like = compose("train_model", []), object.__new__(TrainState)
    return restore(NoCheckpoints(), config, like, directory, ledger, lines, lambda pause_s: True) is None


def test_metrics_that_neither_checkpoint_nor_ledger_knows_are_not_begun_again(directory):
    ledger = Ledger(directory.ledger_path)
    ledger.append(EventKind.START, 0)
    assert begins(directory, ledger, [])
    with pytest.raises(RuntimeError, match=r"has lines up to step 20, .*to begin again at step 0 instead, remove metr"):
        begins(directory, ledger, [{"step": 10}, {"step": 20}])


@pytest.mark.parametrize("call", ["progress", "log"])
def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(call, directory):
    ledger = Ledger(directory.ledger_path)
    logger = FirstStepLogger(ledger, lambda: None)
    logger.start(RunFacts(100, 0, 64))
    # A stop that is requested during the first steps shows no progress, but logs.
    logger.progress(1) if call == "progress" else logger.log(1, {"loss": 1.0})
    assert begins(directory, Ledger(directory.ledger_path), [{"step": 1}])


def test_the_line_of_a_restored_step_is_not_the_first_step(directory):
    ledger = Ledger(directory.ledger_path)
    begun = []
    logger = FirstStepLogger(ledger, lambda: begun.append(len(ledger.events)))
    logger.start(RunFacts(100, 20, 64))
    logger.log(20, {"loss": 1.0})
    assert not ledger.events
    logger.log(30, {"loss": 1.0})
    logger.progress(31)
    assert begun == [1]
    assert [(event.kind, event.step) for event in ledger.events] == [(EventKind.FIRST_STEP, 30)]
