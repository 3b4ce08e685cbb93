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
        tolerance: The greatest scatter of a cell, positive.

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
        weight = np.bincount(cells, weights, num_cells)
        deviations = np.empty_like(columns)
        scatter = np.empty((len(columns), num_cells))
        for dimension, column in enumerate(columns):
            mean = np.bincount(cells, weights * column, num_cells) / weight
            deviations[dimension] = column - mean[cells]
            scatter[dimension] = np.bincount(cells, weights * deviations[dimension] ** 2, num_cells)

        cut = scatter.sum(axis=0) > tolerance
        finished = ~cut[cells]
        final_number = num_finished + np.cumsum(~cut) - 1
        cell_of_point[open_points[finished]] = final_number[cells[finished]]
        num_finished += int(np.count_nonzero(~cut))

        still_open = ~finished
        widest = scatter.argmax(axis=0)
        is_above = deviations[widest[cells], np.arange(len(cells))] > 0
        halves = 2 * (np.cumsum(cut) - 1)
        cells = (halves[cells] + is_above)[still_open]
        open_points, weights, columns = open_points[still_open], weights[still_open], columns[:, still_open]
        num_cells = 2 * int(np.count_nonzero(cut))
    return cell_of_point, num_finished
