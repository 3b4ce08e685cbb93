"""Cells of a k-d tree: which of many weighted points are near enough to be taken together."""

import numpy as np
from jaxtyping import Float, Int


def partition(
    points: Float[np.ndarray, "points dimensions"], weights: Float[np.ndarray, " points"], tolerance: float
) -> tuple[Int[np.ndarray, " points"], int]:
    """Groups the points into cells whose weighted scatter is at most `tolerance`.

    A cell with a greater scatter, `sum_i w_i |y_i - mean|^2`, is cut at its mean across the dimension in which it
    scatters most. So cells are small where the weight is, and few where it is not: at a given number of cells the total
    scatter is far less than on a grid (a hundred times, on mess3's fractal of belief states).

    Args:
        points: One per row.
        weights: Their weights, positive.
        tolerance: The greatest scatter of a cell; above the rounding of the points (1e-30 for points of order one).

    Returns:
        Each point's cell, numbered from zero without gaps, and the number of cells.
    """
    cell_of_point = np.empty(len(points), dtype=np.int64)
    num_finished = 0
    # The points that are not in a finished cell yet: where they are in `points`, and the cell each is in for now.
    open_points, cells, num_cells = np.arange(len(points)), np.zeros(len(points), dtype=np.int64), 1
    columns = np.ascontiguousarray(points.T)
    # All cells of one depth of the tree are cut at once.
    while len(open_points):
        means, scatters = _moments(columns, weights, cells, num_cells)
        is_cut = scatters.sum(axis=0) > tolerance
        stays = is_cut[cells]
        finished = np.flatnonzero(~stays)
        final_numbers = num_finished + np.cumsum(~is_cut) - 1
        cell_of_point[open_points[finished]] = final_numbers[cells[finished]]
        num_finished += int(np.count_nonzero(~is_cut))
        if len(finished):
            staying = np.flatnonzero(stays)
            open_points, weights, cells = open_points[staying], weights[staying], cells[staying]
            columns = columns.take(staying, axis=1)

        widest = scatters.argmax(axis=0)
        thresholds = means[widest, np.arange(num_cells)]
        is_above = columns[widest[cells], np.arange(len(cells))] > thresholds[cells]
        first_halves = 2 * (np.cumsum(is_cut) - 1)
        cells = first_halves[cells] + is_above
        num_cells = 2 * int(np.count_nonzero(is_cut))
    return cell_of_point, num_finished


def _moments(
    columns: Float[np.ndarray, "dimensions points"],
    weights: Float[np.ndarray, " points"],
    cells: Int[np.ndarray, " points"],
    num_cells: int,
) -> tuple[Float[np.ndarray, "dimensions cells"], Float[np.ndarray, "dimensions cells"]]:
    """Each cell's weighted mean and weighted scatter in each dimension."""
    total = np.bincount(cells, weights, num_cells)
    means, scatters = np.empty((2, len(columns), num_cells))
    for column, mean, scatter in zip(columns, means, scatters, strict=True):
        mean[:] = np.bincount(cells, weights * column, num_cells) / total
        # In two passes: the difference of mean squares would lose what a small cell's scatter is made of.
        squares = column - mean[cells]
        squares *= squares
        squares *= weights
        scatter[:] = np.bincount(cells, squares, num_cells)
    return means, scatters
