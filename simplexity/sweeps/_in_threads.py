"""A function that reads or writes files, called for each of many items: in several threads where it mostly waits."""

import resource
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

# Not for the processor: on a network file system every look at a file is a wait.
_THREADS = 16
_LARGEST_PIECE = 256
# Linux counts for each thread; elsewhere the process's count has to do.
_WHOSE_WAITS = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
ItemT = TypeVar("ItemT")
ReadT = TypeVar("ReadT")


def in_threads(read: Callable[[ItemT], ReadT], items: Sequence[ItemT]) -> Iterator[ReadT]:
    """What a function that reads or writes files returns for each item, in their order.

    The calling thread goes through the items as long as it does not mostly wait: on a local disk several threads take
    up to twice the processor's time, because they contend for Python's lock. Once it does, several threads do the rest.
    Waits are counted and not timed: on a busy machine, a thread that never waits for a file stands still as well.

    Args:
        read: Called in several threads.
        items: A run's entry, for instance.
    """
    # A task for each of a hundred thousand runs would take longer than what it does.
    size = min(_LARGEST_PIECE, len(items) // (4 * _THREADS) + 1)
    start, mostly_waits = 0, False
    while start < len(items) and not mostly_waits:
        waits = _num_waits()
        found = list(map(read, items[start : start + size]))
        mostly_waits = _num_waits() - waits > len(found) / 2
        start += size
        yield from found
    if start >= len(items):
        return
    with ThreadPoolExecutor(_THREADS) as threads:
        # What is read is not wanted faster than it is used up.
        for first in range(start, len(items), size * _THREADS):
            starts = range(first, min(first + size * _THREADS, len(items)), size)
            pieces = threads.map(lambda start: list(map(read, items[start : start + size])), starts)
            yield from chain.from_iterable(pieces)


def _num_waits() -> int:
    """How often this thread has given up the processor because it had to wait, as for a file server."""
    return resource.getrusage(_WHOSE_WAITS).ru_nvcsw
