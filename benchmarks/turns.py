"""Measuring several loops in turns, each in a process of its own."""

import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TypeVar

SECONDS_PER_ROUND = 1.5

_Argument = TypeVar("_Argument")


class Work:
    """Something that can be done `amount` times in one call.

    Args:
        do: Does it that many times.
        worth: What one time counts: a step, or FLOPs.
    """

    def __init__(self, do: Callable[[int], None], worth: float = 1.0):
        self._do, self._worth = do, worth
        self._amount = 1
        do(1)  # compiles
        while (elapsed := self._elapsed()) < SECONDS_PER_ROUND / 10:
            self._amount *= 4
        self._amount = max(1, round(self._amount * SECONDS_PER_ROUND / elapsed))

    def rate(self) -> float:
        """Worth per second in one round."""
        return self._amount * self._worth / self._elapsed()

    def _elapsed(self) -> float:
        started = time.perf_counter()
        self._do(self._amount)
        return time.perf_counter() - started


class Loop:
    """A loop in a process of its own, which therefore has the threads that its users would have; ready when it is made.

    Args:
        make: Builds the loop, in its process.
        argument: What it is given.
    """

    def __init__(self, make: Callable[[_Argument], Work], argument: _Argument):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, argument), daemon=True)
        self._process.start()
        theirs.close()
        self._connection.recv()

    def rate(self) -> float:
        """Worth per second in one round; the other loops wait meanwhile."""
        self._connection.send(True)
        return self._connection.recv()

    def __enter__(self) -> "Loop":
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()
        self._process.join()


def _serve(connection: Connection, make: Callable[[_Argument], Work], argument: _Argument) -> None:
    work = make(argument)
    connection.send(True)
    with suppress(EOFError):
        while connection.recv():
            connection.send(work.rate())
