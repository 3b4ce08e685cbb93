"""Array jobs: which runs of a sweep each has, and what sbatch's --array is given."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

DEFAULT_MAX_ARRAY_SIZE = 1001
"""SLURM's MaxArraySize where slurm.conf does not set it."""


class ArraySlice(NamedTuple):
    """Runs that one array job executes.

    Attributes:
        first_index: Index in the sweep of the run whose array task id is 0.
        task_ids: Array task ids, ascending: the run of index first_index + i is the task of id i.
    """

    first_index: int
    task_ids: tuple[int, ...]


def split_into_arrays(indices: Iterable[int], max_array_size: int) -> list[ArraySlice]:
    """The array jobs for the runs of a sweep with these indices.

    MaxArraySize caps the task *id* and not the number of tasks, so that later runs need an offset.

    Args:
        indices: Indices of the runs, each at least 0; duplicates count once.
        max_array_size: The cluster's MaxArraySize, one more than the largest task id.

    Raises:
        ValueError: If the cluster has no job arrays, or an index is negative.
    """
    if max_array_size < 1:
        raise ValueError(f"`max_array_size` must be at least 1, but the cluster's MaxArraySize is {max_array_size}")
    slices: dict[int, list[int]] = {}
    for index in sorted(set(indices)):
        if index < 0:
            raise ValueError(f"`indices` must be at least 0, got {index}")
        offset, task_id = divmod(index, max_array_size)
        slices.setdefault(offset * max_array_size, []).append(task_id)
    return [ArraySlice(first_index, tuple(task_ids)) for first_index, task_ids in slices.items()]


def array_expression(task_ids: Sequence[int], parallelism: int | None = None) -> str:
    """What --array is given, such as "0-3,7%2".

    Args:
        task_ids: Array task ids, ascending.
        parallelism: How many tasks may run at the same time; None for as many as the cluster gives.
    """
    ranges: list[list[int]] = []
    for task_id in task_ids:
        if ranges and task_id == ranges[-1][1] + 1:
            ranges[-1][1] = task_id
        else:
            ranges.append([task_id, task_id])
    expression = ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)
    return expression if parallelism is None else f"{expression}%{parallelism}"
