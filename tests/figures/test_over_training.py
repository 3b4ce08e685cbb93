"""Pictures of what analyses during training have found."""

import numpy as np

from simplexity.figures._over_training import draw_analysis_over_training, draw_functions, draw_own_metrics


def line(step, r2, **functions):
    rows = [{"features": name, "kind": "trained", "r2": value} for name, value in r2.items()]
    rows.append({"features": "layer_0", "kind": "untrained", "r2": 0.9})
    best = {"r2_next_token": 0.25, "r2_untrained": None}
    return {"step": step, "regressions": rows, "best": best if r2 else None, "functions": functions}


def test_r2_of_each_layer_is_drawn_over_the_steps(drawn):
    analyses = [
        line(0, {"layer_0": -0.3, "all layers": 0.1}),
        line(5, {}),
        line(10, {"layer_0": 0.7, "all layers": 0.8}),
    ]
    figure = drawn(lambda path: draw_analysis_over_training(analyses, path))
    points = figure.line_points()
    assert points == [(0, 0.0), (10, 0.7), (0, 0.1), (10, 0.8)]
    assert {
        "layer_0",
        "all layers",
        "next token",
        "untrained model",
        "training step",
        "R² of belief states",
    } <= figure.texts()
    assert figure.overlaps() == []


def test_controls_of_equal_values_are_both_seen(drawn):
    analyses = [line(step, {"layer_0": 0.5}) for step in (0, 10)]
    for analysis in analyses:
        analysis["best"]["r2_untrained"] = analysis["best"]["r2_next_token"]
    figure = drawn(lambda path: draw_analysis_over_training(analyses, path))
    lines = {each.get_label(): each for each in figure.figure.axes[0].get_lines()}
    below, above = lines["next token"], lines["untrained model"]
    assert below.get_zorder() < above.get_zorder()
    assert below.get_linewidth() > 2 * above.get_linewidth()
    assert below.get_color() != above.get_color()


def test_one_analysis_is_no_development(tmp_path):
    assert draw_analysis_over_training([line(0, {"layer_0": 0.3}), line(5, {})], tmp_path / "figure.png") is None


def test_each_number_of_a_function_is_drawn(drawn, tmp_path):
    analyses = [
        line(0, {}, probe={"sharpness": 1.5, "few": [1, 2], "none": None}),
        line(10, {}, probe={"sharpness": 2, "few": [1, 2], "none": None}, other={"x": 7.0}),
    ]
    figure = drawn(lambda path: draw_functions(analyses, path))
    drawn_points = [np.column_stack(axes.get_lines()[0].get_data()).tolist() for axes in figure.figure.axes]
    assert drawn_points == [[[0, 1.5], [10, 2]], [[10, 7]]]
    assert {"probe.sharpness", "other.x", "training step"} <= figure.texts()
    assert draw_functions([line(0, {})], tmp_path / "figure.png") is None


def test_each_own_metric_is_drawn(drawn, tmp_path):
    lines = [{"step": 5, "loss": 0.5, "probe.kl": 0.25, "probe.few": [1, 2]}, {"step": 10, "probe.kl": None}]
    figure = drawn(lambda path: draw_own_metrics([*lines, {"step": 15, "probe.kl": 0.125}], path))
    assert figure.line_points() == [(5, 0.25), (15, 0.125)]
    assert "probe.kl" in figure.texts()
    assert draw_own_metrics([{"step": 5, "loss": 0.5}], tmp_path / "figure.png") is None
