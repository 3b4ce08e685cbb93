"""Rows of a table of runs."""

import pytest

from simplexity.sweeps import sort_rows
from simplexity.sweeps._rows import Row


def test_a_row_has_the_columns_that_later_ones_bring():
    places = {"run": 0}
    first = Row(places, (0,))
    places["loss"] = 1
    second = Row(places, (1, 0.5))
    assert [dict(first), dict(second)] == [{"run": 0, "loss": None}, {"run": 1, "loss": 0.5}]
    assert [row["run"] for row in sort_rows([first, second], "loss")] == [1, 0]
    with pytest.raises(KeyError):
        first["optimum"]


def test_the_last_part_of_a_key_will_do():
    rows = [
        {"run": 0, "a.rate": "2", "b.size": "1", "c.size": "3"},
        {"run": 1, "a.rate": "1", "b.size": "1", "c.size": "3"},
    ]
    assert [row["run"] for row in sort_rows(rows, "rate")] == [1, 0]
    with pytest.raises(ValueError, match="no column size"):
        sort_rows(rows, "size")
