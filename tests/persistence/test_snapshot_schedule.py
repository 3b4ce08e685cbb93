import itertools

import pytest

from simplexity.persistence import SnapshotSchedule


def chosen(schedule, last):
    """The steps up to `last`, as training asks for them."""
    steps, step = [], -1
    while (step := schedule.next_due_step(step)) is not None and step <= last:
        steps.append(step)
    return steps


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"every": 25}, [0, 25, 50, 75, 100]),
        ({"steps": [7, 100, 0, 7, 1000]}, [0, 7, 100]),
        ({"per_decade": 1}, [0, 1, 10, 100]),
        ({"per_decade": 5}, [0, 1, 2, 3, 4, 6, 10, 16, 25, 40, 63, 100]),
        ({"every": 40, "steps": [41], "per_decade": 1}, [0, 1, 10, 40, 41, 80, 100]),
        ({}, []),
    ],
)
def test_the_chosen_steps(settings, expected):
    assert chosen(SnapshotSchedule(**settings), last=100) == expected
    assert SnapshotSchedule(**settings).is_empty == (expected == [])


@pytest.mark.parametrize("per_decade", [1, 7, 10, 1000])
def test_spacing_in_logarithm_misses_none_and_asks_from_anywhere(per_decade):
    schedule = SnapshotSchedule(per_decade=per_decade)
    expected = sorted({0, *(round(10 ** (k / per_decade)) for k in range(5 * per_decade + 1))})
    assert chosen(schedule, last=10**5) == expected
    for before, after in itertools.pairwise(expected[:300]):
        asked = {*range(before, min(after, before + 20)), after - 1}
        assert {schedule.next_due_step(step) for step in asked} == {after}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"every": 0}, "`every` must be at least 1, or null for none, got 0"),
        ({"per_decade": -1}, "`per_decade` must be at least 1, or null for none, got -1"),
        ({"steps": [3, -2]}, "`steps` must not be below 0, got -2"),
    ],
)
def test_numbers_out_of_range(settings, words):
    with pytest.raises(ValueError, match=words):
        SnapshotSchedule(**settings)
