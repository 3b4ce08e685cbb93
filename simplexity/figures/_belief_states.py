"""Pictures of belief states: where they lie in truth, and where the regression from each layer puts them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle

from ._plane import Plane, plane_of
from ._style import BLUE, COLUMN_IN, CORNERS, GREY, new_figure, save

_CORNER_COLOURS = np.array([to_rgb(colour) for colour in CORNERS])
_MOST_LAYERS = 5
_LAYER = "layer: "


class BeliefStates(NamedTuple):
    """The content of a run's belief_states.npz: a row per belief state, or per word where those are many."""

    step: int
    weights: Float[np.ndarray, " points"]
    truth: Float[np.ndarray, "points dimensions"]
    regressed: Mapping[str, Float[np.ndarray, "points dimensions"]]
    """By layer, in the order of computation."""


def read_belief_states(path: Path) -> BeliefStates | None:
    """Reads what the newest analysis of a run has left.

    Args:
        path: Of the file.

    Returns:
        None if there is no such file.

    Raises:
        RuntimeError: If it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            regressed = {name.removeprefix(_LAYER): file[name] for name in file.files if name.startswith(_LAYER)}
            return BeliefStates(int(file["step"]), file["weights"], file["truth"], regressed)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, EOFError, OSError) as error:
        raise RuntimeError(f"{path} cannot be read: {error}; `simplexity analyze` writes it anew") from None


def draw_belief_states(states: BeliefStates, r2: Mapping[str, float | None], path: Path) -> Path | None:
    """Draws the true belief states, and beside them, in the same colours, what each layer's regression makes of them.

    Where they lie on a line, as those of two hidden states do, the regression is drawn against the truth.

    Args:
        states: What to draw.
        r2: Of each layer, where it is known.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None if all belief states are equal.
    """
    plane = plane_of(states.truth, states.weights)
    if plane is None:
        return None
    # The last layers: those after which the most was computed.
    regressed = dict(list(states.regressed.items())[-_MOST_LAYERS:])
    titles = [name if r2.get(name) is None else f"{name}: R² {r2[name]:.3f}" for name in regressed]
    # The most probable last, on top.
    order = np.argsort(states.weights, kind="stable")
    states = BeliefStates(
        states.step, states.weights[order], states.truth[order], {name: regressed[name][order] for name in regressed}
    )
    if plane.directions.shape[1] == 1:
        return _draw_line(states, plane, titles, path)
    panels = [plane.points(vectors) for vectors in (states.truth, *states.regressed.values())]
    colours = state_colours(states.truth, plane)
    num_rows = math.ceil(len(panels) / 2)
    panel_in = 1.55 if plane.labels else 1.6
    with new_figure(height_in=panel_in * num_rows + (0.35 if plane.labels else 0.15)) as figure:
        # A simplex shows its scale itself: one layer whose regression leaves it far does not make the others small.
        is_shared = bool(plane.labels)
        all_axes = figure.subplots(num_rows, 2, sharex=is_shared, sharey=is_shared, squeeze=False).ravel()
        for axes, title, points in zip(all_axes, ["truth", *titles], panels, strict=False):
            draw_points(axes, points, colours, states.weights)
            axes.set_title(title)
            frame(axes, plane, np.concatenate(panels) if is_shared else points)
        _remove_empty(list(all_axes), len(panels))
        if plane.labels:
            if len(plane.corners):
                figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside upper center")
            figure.supxlabel(plane.labels[0], fontsize=7)
            figure.supylabel(plane.labels[1], fontsize=7)
        return save(figure, path)


def _draw_line(states: BeliefStates, plane: Plane, titles: Sequence[str], path: Path) -> Path:
    truth = plane.points(states.truth)[:, 0]
    num_columns = min(2, len(titles))
    num_rows = math.ceil(len(titles) / num_columns)
    panel_in = COLUMN_IN / 2
    with new_figure(height_in=panel_in * num_rows + 0.2) as figure:
        all_axes = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, title, vectors in zip(all_axes, titles, states.regressed.values(), strict=False):
            regressed = plane.points(vectors)[:, 0]
            ends = (min(truth.min(), regressed.min()), max(truth.max(), regressed.max()))
            axes.plot(ends, ends, color=GREY, linewidth=0.6, linestyle="--")
            draw_points(axes, np.stack([truth, regressed], axis=1), np.array([to_rgb(BLUE)]), states.weights)
            axes.set_title(title)
            axes.set_aspect("equal")
        _remove_empty(list(all_axes), len(titles))
        if len(titles) == 1:
            # The axes are narrower than the figure, whose own labels would be far from them.
            all_axes[0].set(xlabel=f"{plane.labels[0]}: truth", ylabel="regression")
        else:
            figure.supxlabel(f"{plane.labels[0]}: truth", fontsize=7)
            figure.supylabel("regression", fontsize=7)
        return save(figure, path)


def _remove_empty(all_axes: Sequence[Axes], num_panels: int) -> None:
    """The place of the last panel of an odd number; the one above it then has the ticks' labels of its column."""
    for axes in all_axes[num_panels:]:
        axes.remove()
        all_axes[num_panels - 2].tick_params(labelbottom=True)


def state_colours(truth: Float[np.ndarray, "n dimensions"], plane: Plane) -> Float[np.ndarray, "n 3"]:
    """Mixtures of three colours: by the belief of three hidden states, else by where the truth lies in the plane."""
    if len(plane.corners) == 3 and not plane.labels:
        shares = np.maximum(truth, 0.0)
    else:
        points = plane.points(truth)
        angles = 2 * np.pi * np.arange(3) / 3
        towards = np.stack([np.cos(angles), np.sin(angles)])
        shares = np.exp(2.5 * (points / np.abs(points).max()) @ towards)
    return (shares / shares.sum(axis=1, keepdims=True)) @ _CORNER_COLOURS


def draw_points(axes: Axes, points: np.ndarray, colours: np.ndarray, weights: np.ndarray) -> None:
    """Draws points, the more probable the larger."""
    many = len(points) > 300
    size = np.clip(40 * weights / weights.max(), 0.25, 12) if many else np.clip(30 * weights / weights.max(), 6, 20)
    axes.scatter(points[:, 0], points[:, 1], s=size, c=colours, linewidths=0, rasterized=many)


def frame(axes: Axes, plane: Plane, points: Float[np.ndarray, "n axes"]) -> None:
    """Marks the certainty of each hidden state, or a qubit's pure states; a simplex is drawn without coordinates.

    Args:
        axes: Where the plane is drawn.
        plane: The plane.
        points: What has to fit into the axes: a regression also predicts what is no state.
    """
    axes.set_aspect("equal")
    if plane.is_disk:
        axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor="black", linewidth=0.6))
        half = 1.08 * max(1.0, float(np.abs(points).max()))
        axes.set(xlim=(-half, half), ylim=(-half, half))
    elif plane.labels:
        axes.scatter(
            plane.corners[:, 0], plane.corners[:, 1], s=14, marker="s", facecolors="none", edgecolors=GREY,
            linewidths=0.6, label="certainty of a hidden state",
        )  # fmt: skip
    else:
        _frame_simplex(axes, plane, points)


def _frame_simplex(axes: Axes, plane: Plane, points: Float[np.ndarray, "n axes"]) -> None:
    corners = np.vstack([plane.corners, plane.corners[:1]])
    axes.plot(corners[:, 0], corners[:, 1], color="black", linewidth=0.6)
    offsets = ((4, -8), (-4, -8), (0, 3))
    for state, (corner, offset) in enumerate(zip(plane.corners, offsets, strict=True)):
        # What a regression puts beyond the corners may lie behind the names.
        axes.annotate(
            f"state {state}", corner, xytext=offset, textcoords="offset points", ha="center",
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.3},
        )  # fmt: skip
    low, high = points.min(axis=0) - 0.02, points.max(axis=0) + 0.02
    # The names of the states are below and above the corners.
    axes.set(xlim=(min(-0.08, low[0]), max(1.08, high[0])), ylim=(min(-0.14, low[1]), max(1.0, high[1])))
    axes.set_axis_off()
