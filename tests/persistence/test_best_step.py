import errno
import math
import time

import pytest

from simplexity.persistence import _orbax_checkpointer
from simplexity.runs import RunDirectory, ScoredStep, best_saved_step


@pytest.fixture
def train(checkpointer, make_state, tmp_path):
    """Saves whatever is due at steps with these validation losses -> the checkpointer, and the run's directory."""

    def go_on(losses, saver=None):
        saver = saver or checkpointer(max_to_keep=2, save_every_steps=1, keep_best=True)
        for step, loss in losses.items():
            if loss is not None:
                saver.score(step, loss)
            if saver.due(step):
                saver.save(step, make_state(step))
        saver.close()
        return saver, RunDirectory(tmp_path)

    return go_on


def test_the_best_stays_beside_the_newest(train):
    saver, directory = train({1: 0.9, 2: 0.5, 3: 0.7, 4: None, 5: 0.5, 6: 0.6})
    assert saver.steps() == [2, 5, 6]
    # Of equal losses the first counts.
    assert best_saved_step(directory) == ScoredStep(2, 0.5)


def test_a_checkpoint_is_due_after_the_best_validation_only(checkpointer, make_state):
    saver = checkpointer(keep_best=True)
    due = []
    for step, loss in {1: 0.9, 2: 0.5, 3: 0.7, 4: math.nan, 5: 0.4}.items():
        saver.score(step, loss)
        due.append(saver.due(step))
        if due[-1]:
            saver.save(step, make_state(step))
    assert due == [True, True, False, False, True]
    # Another one in the same folder deletes what is not committed.
    saver.close()
    without = checkpointer()
    without.score(6, 0.1)
    assert not without.due(6)


def test_the_last_state_is_saved_before_it_is_validated(checkpointer, make_state):
    saver = checkpointer(max_to_keep=2, save_every_steps=1, keep_best=True)
    saver.save(1, make_state(1))
    saver.score(1, 0.9)
    for step in (2, 3, 4):
        saver.save(step, make_state(step))
    saver.score(4, 0.1)
    saver.close()
    assert saver.steps() == [3, 4]


def test_until_a_better_one_is_saved_the_best_before_it_counts(train, checkpointer, make_state):
    _, directory = train({1: 0.9, 2: 0.5, 3: 0.7, 4: 0.8})
    killed = checkpointer(max_to_keep=2, save_every_steps=1, keep_best=True)
    killed.score(5, 0.1)
    assert best_saved_step(directory) == ScoredStep(2, 0.5)
    # The run resumes at step 4: step 5 is computed again, and has to be saved to be the best.
    resumed = checkpointer(max_to_keep=2, save_every_steps=1, keep_best=True)
    assert resumed.restore(make_state())[0] == 4
    assert best_saved_step(directory) == ScoredStep(2, 0.5)
    train({5: 0.1, 6: 0.6, 7: 0.6}, resumed)
    assert best_saved_step(directory) == ScoredStep(5, 0.1)
    assert resumed.steps() == [5, 6, 7]


def test_a_run_that_begins_again_forgets_the_best(train, checkpointer, make_state):
    _, directory = train({1: 0.2})
    (directory.checkpoints_path / "1").rename(directory.path / "gone")
    saver = checkpointer(keep_best=True)
    assert saver.restore(make_state()) is None
    saver.score(1, 0.3)
    assert saver.due(1)


def test_a_record_that_is_none_is_named(train, checkpointer):
    _, directory = train({1: 0.2})
    directory.best_path.write_text("[1]")
    with pytest.raises(RuntimeError, match=r"best\.json was not written by a run; remove it"):
        checkpointer(keep_best=True)


def test_a_folder_that_cannot_be_listed_once_is_listed_again(checkpointer, monkeypatch):
    saver = checkpointer(keep_best=True)
    committed, failures = _orbax_checkpointer.committed_steps, iter([OSError(errno.ESTALE, "Stale file handle", "c")])

    def steps(directory):
        if error := next(failures, None):
            raise error
        return committed(directory)

    monkeypatch.setattr(_orbax_checkpointer, "committed_steps", steps)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    saver.score(1, 0.9)
    assert next(failures, None) is None
    assert saver.due(1)
