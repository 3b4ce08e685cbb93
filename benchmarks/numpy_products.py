"""Only the matrix products of a step, by NumPy: the yardstick for the time of the whole step."""

import os

import numpy as np

from .cases import Case
from .turns import Work


def own_products(case: Case) -> Work:
    """Steps per second of only the step's products, by NumPy on as many cores as a step has."""
    rng = np.random.default_rng(0)

    def draw(stack: int, rows: int, columns: int) -> np.ndarray:
        return rng.standard_normal((stack, rows, columns)[stack == 1 :], dtype=np.float32)

    calls = []
    for count, stack, rows, inner, columns in case.products:
        left, right = draw(stack, rows, inner), draw(stack, inner, columns)
        out = left @ right
        transposed = left.swapaxes(-1, -2), right.swapaxes(-1, -2)
        for a, b in ((left, right), (out, transposed[1]), (transposed[0], out)):
            calls.append((count, a, b, a @ b))

    def do(num_steps: int) -> None:
        for _ in range(num_steps):
            for count, a, b, out in calls:
                for _ in range(count):
                    np.matmul(a, b, out=out)

    # One core's rate times the number of cores: the benchmarks give NumPy one thread.
    return Work(do, worth=len(os.sched_getaffinity(0)))
