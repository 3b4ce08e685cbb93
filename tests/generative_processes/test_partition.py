"""Cells of weighted points."""

import numpy as np
import pytest

from simplexity.generative_processes._partition import partition


def weighted_points(num_points, num_dimensions):
    generator = np.random.default_rng(num_dimensions)
    return generator.normal(size=(num_points, num_dimensions)), generator.dirichlet(np.full(num_points, 0.3))


@pytest.mark.parametrize("num_dimensions", [1, 2, 5])
@pytest.mark.parametrize("tolerance", [1e-1, 1e-3, 1e-6])
def test_no_cell_scatters_more_than_the_tolerance(num_dimensions, tolerance):
    points, weights = weighted_points(500, num_dimensions)
    cells, num_cells = partition(points, weights, tolerance)
    assert set(cells) == set(range(num_cells))
    for cell in range(num_cells):
        members, member_weights = points[cells == cell], weights[cells == cell]
        centre = np.average(members, axis=0, weights=member_weights)
        assert member_weights @ ((members - centre) ** 2).sum(axis=1) <= tolerance


def test_a_greater_tolerance_gives_fewer_cells():
    points, weights = weighted_points(500, 3)
    counts = [partition(points, weights, tolerance)[1] for tolerance in (1e-7, 1e-5, 1e-3, 1e3)]
    assert counts[0] > counts[1] > counts[2] > counts[3] == 1


def test_equal_points_are_never_parted():
    points = np.array([[0.1, 0.2], [0.3, 0.2], [0.1, 0.2], [0.3, 0.2]])
    cells, num_cells = partition(points, np.array([0.1, 0.2, 0.3, 0.4]), 1e-25)
    assert num_cells == 2
    assert cells[0] == cells[2] != cells[1] == cells[3]


def test_cells_are_smaller_where_the_weight_is():
    points = np.linspace(0, 1, 1000)[:, None]
    weights = np.where(points[:, 0] < 0.5, 1.0, 1e-4)
    cells, _ = partition(points, weights, 1e-3)
    heavy, light = len(set(cells[:500])), len(set(cells[500:]))
    assert heavy > 5 * light
