"""The nearest sequence that never rises."""

import numpy as np
from jaxtyping import Float


def falling_fit(
    values: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Fits numbers whose true values never rise; their sum stays what it was.

    Neighbours that rise are replaced by their mean until none do (pooled adjacent violators). Within such a pool, the
    mean of any first few is at most the pool's and that of any last few at least the pool's. So each of its true values
    differs from the pool's mean by no more than the greatest error in the pool.

    Args:
        values: The numbers.
        errors: By how much each may be off.

    Returns:
        The fitted numbers and their errors.

    References:
        Barlow, Bartholomew, Bremner and Brunk, "Statistical inference under order restrictions" (1972), section 1.2.
    """
    pools: list[tuple[float, int, float]] = []  # mean, how many, greatest error
    for value, error in zip(values.tolist(), errors.tolist(), strict=True):
        pool = value, 1, error
        while pools and pools[-1][0] < pool[0]:
            mean, number, greatest = pools.pop()
            total = number + pool[1]
            pool = (mean * number + pool[0] * pool[1]) / total, total, max(greatest, pool[2])
        pools.append(pool)
    counts = [number for _, number, _ in pools]
    return np.repeat([mean for mean, _, _ in pools], counts), np.repeat([error for _, _, error in pools], counts)
