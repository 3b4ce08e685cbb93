"""Which workers of a sweep are alive: those that SLURM does not know hold a lock in `sweep/workers/` as they work."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simplexity.runs import RunLock, is_alive

from ._directory import SweepDirectory

BY_HAND = "by_hand"
"""Stands for the submission of a worker that a person has started, which executes the runs of all of them."""
_SUFFIX = ".lock"


@contextmanager
def registered(sweep: SweepDirectory, place: str) -> Iterator[RunLock]:
    """Within the `with` block, this process counts as a live worker of the sweep.

    Args:
        sweep: The sweep.
        place: Name of the worker's place; `BY_HAND` for one that has none.
    """
    # Two containers may have one host name, and a process 7 each.
    name = f"{BY_HAND}_{os.urandom(4).hex()}" if place == BY_HAND else place
    path = sweep.worker_path(name).with_suffix(_SUFFIX)
    path.parent.mkdir(exist_ok=True)
    lock = RunLock(path).acquire()
    try:
        yield lock
    finally:
        lock.release(remove=True)


def live_submissions(sweep: SweepDirectory) -> set[str]:
    """The names of the submissions of which a worker is alive, and `BY_HAND` if one that a person has started is."""
    return {path.stem.rpartition("_")[0] for path in live_worker_locks(sweep)}


def live_worker_locks(sweep: SweepDirectory) -> list[Path]:
    """The locks of the workers that are alive, as far as can be seen at once."""
    return [path for path in sorted(sweep.workers_path.glob(f"*{_SUFFIX}")) if is_alive(path)]
