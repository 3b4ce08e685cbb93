import pytest

from simplexity.persistence import SaveCadence


@pytest.mark.parametrize(
    ("steps", "minutes", "step", "last_saved_step", "seconds", "due"),
    [
        (100, None, 99, 0, 1e9, False),
        (100, None, 100, 0, 0.0, True),
        (100, None, 250, 130, 0.0, True),  # a chunk that passed over 200
        (100, None, 190, 130, 0.0, False),
        (100, None, 200, 200, 0.0, False),
        (None, 2.0, 7, 0, 119.9, False),
        (None, 2.0, 7, 0, 120.0, True),
        (None, 2.0, 7, 7, 1e9, False),  # nothing new
        (100, 2.0, 7, 0, 120.0, True),
        (100, 2.0, 100, 0, 0.0, True),
        (None, None, 10**6, 0, 1e9, False),
    ],
)
def test_is_due_by_steps_or_by_time(steps, minutes, step, last_saved_step, seconds, due):
    assert SaveCadence(steps, minutes).due(step, last_saved_step, seconds) == due


def test_next_due_step_is_the_next_multiple():
    cadence = SaveCadence(100, None)
    assert [cadence.next_due_step(step) for step in (0, 99, 100, 101)] == [100, 100, 200, 200]
    assert SaveCadence(None, 5.0).next_due_step(7) is None


@pytest.mark.parametrize(
    ("steps", "minutes", "name"),
    [
        (0, None, "save_every_steps"),
        (-5, 1.0, "save_every_steps"),
        (None, 0.0, "save_every_minutes"),
        (None, float("inf"), "save_every_minutes"),
        (None, float("nan"), "save_every_minutes"),
    ],
)
def test_refuses_what_is_not_positive(steps, minutes, name):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        SaveCadence(steps, minutes)
