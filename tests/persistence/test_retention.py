import pytest

from simplexity.persistence import Retention


def kept_after(retention: Retention, saved: list[int]) -> list[int]:
    """What remains when `saved` are saved one after the other and what may go is deleted each time."""
    remaining: list[int] = []
    for step in saved:
        remaining.append(step)
        remaining = [kept for kept in remaining if kept not in retention.superseded(remaining)]
    return remaining


def test_the_newest_stay():
    assert kept_after(Retention(2, None), [10, 20, 30, 40]) == [30, 40]
    assert Retention(3, None).superseded([40, 10, 30, 20, 50]) == [10, 20]
    assert Retention(3, None).superseded([1, 2]) == []


def test_multiples_stay_for_good():
    saved = list(range(10, 400, 10))
    assert kept_after(Retention(2, 100), saved) == [100, 200, 300, 380, 390]


def test_the_first_past_a_multiple_stands_for_it():
    assert kept_after(Retention(2, 100), [37, 95, 131, 188, 345, 351, 402, 460, 470]) == [131, 345, 402, 460, 470]


@pytest.mark.parametrize(
    ("arguments", "name"), [((1, None), "max_to_keep"), ((-3, None), "max_to_keep"), ((2, 0), "keep_every_steps")]
)
def test_refuses_what_is_too_small(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least"):
        Retention(*arguments)
