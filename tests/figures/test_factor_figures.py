"""Pictures of further targets: R² of each beside its controls, and the overlaps of the factors' subspaces."""

import numpy as np
import pytest

from simplexity.figures._factors import draw_factor_overlaps, draw_targets


def best(r2, features="layer_1"):
    return {
        "best": {"features": features, "r2": r2, "r2_shuffled": -0.01, "r2_untrained": 0.4, "r2_next_token": None},
        "regressions": [],
    }


FACTORED = {
    "step": 1200,
    "targets": {"factor_0": best(0.98), "factor_1": best(0.9, "all layers"), "joint": best(0.7)},
    "factor_overlaps": {"layer_0": [[1.0, 0.9], [0.9, 1.0]], "layer_1": [[1.0, 0.12], [0.12, 1.0]]},
}


def test_each_target_is_a_row(drawn):
    figure = drawn(lambda path: draw_targets(FACTORED, path))
    lines = {line.get_label(): line for line in figure.figure.axes[0].get_lines()}
    assert lines["trained model"].get_xdata() == pytest.approx([0.98, 0.9, 0.7])
    assert lines["trained model"].get_ydata() == pytest.approx([0, 1, 2])
    assert lines["shuffled beliefs"].get_xdata() == pytest.approx([0, 0, 0])
    assert len(lines["next-token probabilities"].get_xdata()) == 0
    assert {"factor_1 (all layers)", "joint (layer_1)", "0.980", "0.700"} <= figure.texts()
    (legend,) = figure.figure.legends
    assert legend.get_texts()[0].get_text() == "trained model"
    assert figure.overlaps() == []


def test_the_overlaps_of_each_layer_are_a_matrix(drawn):
    figure = drawn(lambda path: draw_factor_overlaps(FACTORED, path))
    images = [image for axes in figure.figure.axes[:2] for image in axes.get_images()]
    for image, expected in zip(images, FACTORED["factor_overlaps"].values(), strict=True):
        np.testing.assert_allclose(image.get_array(), expected)
    assert {"layer_0", "layer_1", "0.12", "0.90", "overlap of subspaces"} <= figure.texts()
    assert figure.overlaps() == []


def test_a_single_matrix_is_in_the_middle(drawn):
    one_layer = {"factor_overlaps": {"layer_0": [[1.0, 0.5], [0.5, 1.0]]}}
    figure = drawn(lambda path: draw_factor_overlaps(one_layer, path)).figure
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    left, right = min(box.x0 for box in boxes), figure.bbox.width - max(box.x1 for box in boxes)
    assert abs(left - right) < 0.1 * figure.bbox.width


def test_a_process_without_further_targets_has_no_picture(tmp_path):
    path = tmp_path / "a.png"
    assert draw_targets({"targets": {}}, path) is draw_targets({}, path) is None
    assert draw_targets({"targets": {"components": {"best": None}}}, path) is None
    assert draw_factor_overlaps({"factor_overlaps": {}}, path) is draw_factor_overlaps({}, path) is None
