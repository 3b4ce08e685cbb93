"""The pictures of belief states: what is drawn for each kind of process, from the file that an analysis leaves."""

from pathlib import Path

import jax
import numpy as np
import pytest

from simplexity import generative_processes as gp
from simplexity.analysis import belief_states_npz, regress_beliefs
from simplexity.figures._belief_regression import draw_belief_regression, draw_explained_variance
from simplexity.figures._belief_states import draw_belief_states, read_belief_states, state_colours
from simplexity.figures._plane import plane_of
from simplexity.figures._style import CORNERS
from simplexity.predictive_models import GRU


def states_of(process, tmp_path, length=4, num_layers=1):
    model = GRU(4, num_layers, vocab_size=process.vocab_size, key=jax.random.key(0))
    found = regress_beliefs(model, process, length)
    path = tmp_path / "belief_states.npz"
    path.write_bytes(belief_states_npz(found, 7))
    assert path.read_bytes() == belief_states_npz(found, 7)
    return found, read_belief_states(path)


@pytest.mark.parametrize(
    ("process", "num_axes", "labels"),
    [
        (gp.mess3(0.05, 0.85), 2, {"state 0", "state 1", "state 2"}),
        (gp.rrxor(0.5, 0.4), 2, {"certainty of a hidden state"}),
        (gp.tom_quantum(1.0, 7.0), 2, set()),  # predictive vectors have no corners
        (gp.even_ones(0.5), 1, {"probability of state 1: truth", "regression"}),
    ],
    ids=["mess3", "rrxor", "tom_quantum", "even_ones"],
)
def test_truth_and_regression_are_drawn_point_for_point(process, num_axes, labels, tmp_path, drawn):
    _, states = states_of(process, tmp_path)
    plane = plane_of(states.truth, states.weights)
    assert plane.directions.shape == (process.num_states, num_axes)
    figure = drawn(lambda path: draw_belief_states(states, {"layer_0": 0.5}, path))
    texts = figure.texts()
    assert labels <= texts
    assert "layer_0: R² 0.500" in texts
    assert figure.width_in == 3.4
    assert figure.overlaps() == []
    points = figure.points()
    if num_axes == 1:
        np.testing.assert_allclose(np.sort(points[0][:, 0]), np.sort(plane.points(states.truth)[:, 0]), atol=1e-6)
        return
    assert "truth" in texts
    truth, regressed = (panel for panel in points if len(panel) == len(states.truth))
    order = np.argsort(states.weights, kind="stable")
    np.testing.assert_allclose(truth, plane.points(states.truth)[order], atol=1e-6)
    np.testing.assert_allclose(regressed, plane.points(states.regressed["layer_0"])[order], atol=1e-6)


def test_the_belief_states_of_a_qubit_lie_in_the_unit_circle(tmp_path, drawn):
    _, states = states_of(gp.tom_quantum(1.0, 1.5), tmp_path)
    figure = drawn(lambda path: draw_belief_states(states, {}, path))
    circles = [patch for axes in figure.figure.axes for patch in axes.patches]
    assert [circle.get_radius() for circle in circles] == [1, 1]
    assert {"Bloch vector, $r_1$", "Bloch vector, $r_2$"} <= figure.texts()
    order = np.argsort(states.weights, kind="stable")
    np.testing.assert_allclose(figure.points()[0], states.truth[order][:, 1:], atol=1e-6)
    # Of a process that no qubit generates the vectors are longer.
    _, others = states_of(gp.moon(1.0, 0.5), tmp_path)
    assert not plane_of(others.truth, others.weights).is_disk


@pytest.mark.parametrize("process", [gp.tom_quantum(1.0, 1.5), gp.mess3(0.05, 0.85)], ids=["disk", "simplex"])
def test_a_regression_that_leaves_the_disk_or_the_simplex_is_not_cut_off(process, tmp_path, drawn):
    _, states = states_of(process, tmp_path, length=2)
    far = states._replace(regressed={"layer_0": states.truth * np.array([1.0, 3.0, -2.0])})
    figure = drawn(lambda path: draw_belief_states(far, {}, path))
    axes = figure.figure.axes[1]
    regressed = axes.collections[0].get_offsets()
    for points, (low, high) in zip(regressed.T, (axes.get_xlim(), axes.get_ylim()), strict=True):
        assert low < points.min()
        assert points.max() < high


# Machado, Oliveira and Fernandes (2009), severity 1: linear RGB as it is seen without the cones for red, or for green.
NO_RED = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
NO_GREEN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


@pytest.mark.parametrize("seen", [np.eye(3), NO_RED, NO_GREEN], ids=["all colours", "no red", "no green"])
def test_mixtures_of_states_are_told_apart_by_colour(seen):
    corners = np.eye(3)
    # The corners, the middles of the sides, and the centre.
    beliefs = np.vstack([corners, (corners + np.roll(corners, 1, axis=0)) / 2, np.full((1, 3), 1 / 3)])
    colours = state_colours(beliefs, plane_of(corners, np.ones(3)))
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ np.transpose(seen), 0, 1) @ RGB_TO_XYZ.T / RGB_TO_XYZ.sum(axis=1)
    roots = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.stack([116 * roots[:, 1], 500 * (roots[:, 0] - roots[:, 1]), 200 * (roots[:, 1] - roots[:, 2])], axis=1)
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    # A difference of 2.3 in CIELAB is just noticed; dots need more.
    assert distances[np.triu_indices(len(lab), 1)].min() > 10


def test_many_layers_have_lines_that_are_told_apart(drawn):
    layers = {f"layer_{index}": [0.9, 0.05, 0.05] for index in range(20)}
    figure = drawn(lambda path: draw_explained_variance({"explained_variance": layers}, path))
    lines = [line for line in figure.figure.axes[0].get_lines() if line.get_label() in figure.texts()]
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}) == 20


def test_the_only_component_is_marked_once(drawn):
    analysis = {"explained_variance": {"layer_0": [1.0]}}
    assert drawn(lambda path: draw_explained_variance(analysis, path)).x_labels() == ["1"]


def test_words_of_one_belief_state_are_one_point_at_the_centre_of_mass(tmp_path):
    found, states = states_of(gp.even_ones(0.5), tmp_path, length=8)
    words = found.words
    assert len(states.truth) == len(np.unique(words.beliefs.round(6), axis=0)) < len(words.rows) / 4
    assert states.step == 7
    assert states.weights.sum() == pytest.approx(words.probabilities.sum(), rel=1e-5)
    here = np.abs(words.beliefs - states.truth[0]).max(axis=1) < 1e-5
    mean = np.average(found["layer_0"].predictions[here], axis=0, weights=words.probabilities[here])
    np.testing.assert_allclose(states.regressed["layer_0"][0], mean, rtol=1e-4)


def test_one_belief_state_is_no_picture(tmp_path):
    _, states = states_of(gp.coin(0.3), tmp_path)
    assert draw_belief_states(states, {}, tmp_path / "figure.png") is None


def test_a_file_that_is_none_is_one_error(tmp_path):
    path = tmp_path / "belief_states.npz"
    assert read_belief_states(path) is None
    path.write_bytes(b"PK torn")
    with pytest.raises(RuntimeError, match=r"belief_states\.npz cannot be read: .*simplexity analyze"):
        read_belief_states(path)


def row(features, kind, r2):
    return {"features": features, "kind": kind, "r2": r2, "r2_standard_error": None if r2 is None else 0.01}


def test_regressions_beside_their_controls(tmp_path, drawn):
    rows = [
        row("layer_0", "trained", 0.9), row("layer_0", "untrained", 0.4), row("layer_0", "shuffled", -0.2),
        row("last tokens, additive", "control", 0.6),
    ]  # fmt: skip
    analysis = {"step": 1200, "regressions": rows, "explained_variance": {"layer_0": [0.8, 0.12, 0.04, 0.04]}}
    figure = drawn(lambda path: draw_belief_regression(analysis, path))
    assert figure.texts() >= {
        "layer_0", "last tokens, additive", "0.900", "0.600", "trained model", "untrained model", "shuffled beliefs",
        "without a model", "R² of belief states on held-out words, step 1,200",
    }  # fmt: skip
    # What is worse than the mean is drawn at zero.
    assert sorted(figure.line_points()) == [(0.0, 0.0), (0.4, 0.0), (0.6, 1.0), (0.9, 0.0)]
    assert figure.overlaps() == []

    figure = drawn(lambda path: draw_explained_variance(analysis, path))
    assert "layer_0: 2, 3, 4" in figure.texts()

    analysis["regressions"] = [row("layer_0", "trained", None)]
    assert draw_belief_regression(analysis, tmp_path / "figure.png") is None


def test_the_notebook_colours_the_corners_as_the_figures_do():
    notebook = Path(__file__).parents[2] / "examples" / "belief_states.ipynb"
    colours = ", ".join(f'\\"{colour}\\"' for colour in CORNERS)
    assert f"to_rgba_array([{colours}])" in notebook.read_text()
