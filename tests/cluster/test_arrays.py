"""Which array task executes which run."""

import pytest

from simplexity.cluster import split_into_arrays
from simplexity.cluster._arrays import array_expression


@pytest.mark.parametrize("max_array_size", [1, 7, 1000, 1001])
def test_every_run_is_in_one_array_under_an_id_that_slurm_accepts(max_array_size):
    indices = [*range(40), 999, 1000, 1001, 2500, 2500]
    arrays = split_into_arrays(reversed(indices), max_array_size)
    assert sorted(a.first_index + i for a in arrays for i in a.task_ids) == sorted(set(indices))
    assert all(0 <= i < max_array_size for a in arrays for i in a.task_ids)
    assert len({a.first_index for a in arrays}) == len(arrays)


def test_a_sweep_of_the_usual_size_is_one_array():
    assert len(split_into_arrays(range(1001), 1001)) == 1
    assert split_into_arrays([], 1001) == []


def test_what_cannot_be_an_array_is_refused():
    with pytest.raises(ValueError, match="MaxArraySize is 0"):
        split_into_arrays([0], 0)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        split_into_arrays([-1], 10)


@pytest.mark.parametrize(
    ("task_ids", "parallelism", "expression"),
    [
        ([0], None, "0"),
        ([0, 1, 2, 3], None, "0-3"),
        ([0, 2, 3, 7], 2, "0,2-3,7%2"),
        (range(1000), 50, "0-999%50"),
    ],
)
def test_array_expression(task_ids, parallelism, expression):
    assert array_expression(list(task_ids), parallelism) == expression
