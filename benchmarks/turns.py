"""Measuring several loops in turns, each in a process of its own."""

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NamedTuple, TypeVar

SECONDS_PER_ROUND = 1.5

_Argument = TypeVar("_Argument")


class Rates(NamedTuple):
    """Worth per second of wall time, and per second of the process's CPU time, which other processes disturb less."""

    per_second: float
    per_cpu_second: float


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
        while (elapsed := self._elapsed()[0]) < SECONDS_PER_ROUND / 10:
            self._amount *= 4
        self._amount = max(1, round(self._amount * SECONDS_PER_ROUND / elapsed))

    def rates(self) -> Rates:
        """The rates in one round."""
        wall_s, cpu_s = self._elapsed()
        return Rates(self._amount * self._worth / wall_s, self._amount * self._worth / cpu_s)

    def _elapsed(self) -> tuple[float, float]:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        self._do(self._amount)
        return time.perf_counter() - wall_s, time.process_time() - cpu_s


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

    def rates(self) -> Rates:
        """The rates in one round; the other loops wait meanwhile."""
        self._connection.send(True)
        return self._connection.recv()

    def __enter__(self) -> "Loop":
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()
        self._process.join()


class ForeignLoop:
    """The same by another Python, whose environment has other packages; ready when it is made.

    Args:
        python: The other Python.
        module: What it runs with `-m`; it calls `serve_lines`.
        argument: Plain values, which become its argument as JSON.

    Raises:
        RuntimeError: If the program ends before it is ready.
    """

    def __init__(self, python: str, module: str, argument: object):
        self._name = f"{python} -m {module}"
        self._process = subprocess.Popen(
            [python, "-m", module, json.dumps(argument)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.rates()

    def rates(self) -> Rates:
        """The rates in one round; the other loops wait meanwhile."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            print(file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            raise RuntimeError(f"{self._name} ended unexpectedly")
        return Rates(*json.loads(answer))

    def __enter__(self) -> "ForeignLoop":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()


def serve_lines(make: Callable[[_Argument], Work], argument: _Argument) -> None:
    """Answers each line of the standard input with the rates of one round, as JSON."""
    work = make(argument)
    for _ in sys.stdin:
        print(json.dumps(work.rates()), flush=True)


def _serve(connection: Connection, make: Callable[[_Argument], Work], argument: _Argument) -> None:
    work = make(argument)
    connection.send(True)
    with suppress(EOFError):
        while connection.recv():
            connection.send(work.rates())
