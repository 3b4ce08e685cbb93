import pytest

from simplexity.persistence._save_policy import RetentionPolicy, SavePolicy


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
    assert SavePolicy(steps, minutes).due(step, last_saved_step, seconds) == due


def test_next_due_step_is_the_next_multiple():
    policy = SavePolicy(100, None)
    assert [policy.next_due_step(step) for step in (0, 99, 100, 101)] == [100, 100, 200, 200]
    assert SavePolicy(None, 5.0).next_due_step(7) is None


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
        SavePolicy(steps, minutes)


def kept_after(retention: RetentionPolicy, saved: list[int]) -> list[int]:
    """What remains when `saved` are saved one after the other and what may go is deleted each time."""
    remaining: list[int] = []
    for step in saved:
        remaining.append(step)
        remaining = [kept for kept in remaining if kept not in retention.superseded(remaining)]
    return remaining


def test_the_newest_stay():
    assert kept_after(RetentionPolicy(2, None), [10, 20, 30, 40]) == [30, 40]
    assert RetentionPolicy(3, None).superseded([40, 10, 30, 20, 50]) == [10, 20]
    assert RetentionPolicy(3, None).superseded([1, 2]) == []


def test_multiples_stay_for_good():
    saved = list(range(10, 400, 10))
    assert kept_after(RetentionPolicy(2, 100), saved) == [100, 200, 300, 380, 390]


def test_the_first_past_a_multiple_stands_for_it():
    assert kept_after(RetentionPolicy(2, 100), [37, 95, 131, 188, 345, 351, 402, 460, 470]) == [131, 345, 402, 460, 470]


@pytest.mark.parametrize(
    ("arguments", "name"), [((1, None), "max_to_keep"), ((-3, None), "max_to_keep"), ((2, 0), "keep_every_steps")]
)
def test_refuses_what_is_too_small(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least"):
        RetentionPolicy(*arguments)
