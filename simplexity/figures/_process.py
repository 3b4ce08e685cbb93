"""The picture of a process: its mixed states where they lie, and the graph of the recurrent ones where they are few."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch
from matplotlib.path import Path as Curve
from matplotlib.ticker import MaxNLocator

from simplexity.runs import counted

from ._belief_states import draw_points, frame, state_colours
from ._plane import Plane, plane_of
from ._style import BLUE, COLUMN_IN, GREY, SERIES, new_figure, save

if TYPE_CHECKING:
    # Importing it imports JAX, which a figure does not need.
    from simplexity.generative_processes import MixedStatePresentation

# More states, or more tokens, than this are a tangle of arrows.
_MOST_NODES, _MOST_TOKENS = 16, 2 * len(SERIES)
# In a graph whose nodes lie on a circle of radius 1 or less, and how far from its centre there is room for arrows.
_NODE_RADIUS, _EXTENT = 0.16, 1.45


def draw_process(presentation: "MixedStatePresentation", path: Path) -> Path | None:
    """Draws a process's mixed states by their probability and, if few of them recur, the graph of these.

    Args:
        presentation: Followed as far as it is to be drawn.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None if there is neither: the presentation has one mixed state alone, and either a single token leads
        to more others than were to be followed, or there are too many tokens for a graph.
    """
    weights = presentation.occupation(int(presentation.depths.max())).mean(axis=0)
    plane = plane_of(presentation.states, weights)
    recurrent = np.flatnonzero(presentation.is_recurrent) if presentation.is_closed else np.empty(0, dtype=np.int64)
    has_graph = 0 < len(recurrent) <= _MOST_NODES and presentation.probabilities.shape[1] <= _MOST_TOKENS
    num_panels = (plane is not None) + has_graph
    if num_panels == 0:
        return None
    # A graph is as large by itself as beside mixed states.
    with new_figure(height_in=COLUMN_IN if num_panels == 1 and not has_graph else COLUMN_IN / 2 + 0.2) as figure:
        panels = list(figure.subplots(1, num_panels, squeeze=False)[0])
        if plane is not None:
            _draw_mixed_states(panels.pop(0), presentation, weights, plane)
        if has_graph:
            graph = panels.pop(0)
            _draw_graph(graph, presentation, recurrent)
            # Below both panels: it is wider than one.
            entries = graph.get_legend_handles_labels()
            figure.legend(*entries, loc="outside lower center", ncols=4, columnspacing=1.2, borderpad=0.8)
        return save(figure, path)


def _draw_mixed_states(
    axes: Axes, presentation: "MixedStatePresentation", weights: Float[np.ndarray, " mixed"], plane: Plane
) -> None:
    order = np.argsort(weights, kind="stable")
    points = plane.points(presentation.states)
    if points.shape[1] == 1:
        # On a line: the depth at which each state is met gives the height.
        points = np.column_stack([points[:, 0], presentation.depths])
        draw_points(axes, points[order], np.array([BLUE]), weights[order])
        axes.set(xlabel=plane.labels[0], ylabel="tokens before it is met")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        draw_points(axes, points[order], state_colours(presentation.states, plane)[order], weights[order])
        frame(axes, plane, points)
        if plane.labels:
            axes.set(xlabel=plane.labels[0], ylabel=plane.labels[1])
    depth = int(presentation.depths.max())
    axes.set_title("mixed states" if presentation.is_closed else f"mixed states, {counted(depth, 'token')}")


def _draw_graph(axes: Axes, presentation: "MixedStatePresentation", recurrent: Int[np.ndarray, " nodes"]) -> None:
    num_nodes = len(recurrent)
    angles = np.pi / 2 - 2 * np.pi * np.arange(num_nodes) / num_nodes
    num_loops = (presentation.successors[recurrent] == recurrent[:, None]).sum(axis=1)
    # Many arrows from a node to itself need room around it.
    radius = 0.0 if num_nodes == 1 else 0.6 if num_nodes <= 4 and num_loops.max() > 3 else 1.0
    places = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    node_of = {int(state): node for node, state in enumerate(recurrent)}
    circles = [Circle(place, _NODE_RADIUS, fc="white", ec=GREY, lw=0.8, zorder=3) for place in places]
    for node, state in enumerate(recurrent):
        tokens = np.flatnonzero(presentation.successors[state] >= 0).tolist()
        targets = [node_of[int(presentation.successors[state, token])] for token in tokens]
        loops = iter(_loops(places[node], int(num_loops[node])))
        for token, target in zip(tokens, targets, strict=True):
            line = _line(token) | {"linewidth": 0.4 + 1.4 * presentation.probabilities[state, token]}
            if target == node:
                _arrow(axes, line, path=next(loops))
                continue
            bend = 0.15 + min(0.12, 0.7 / presentation.probabilities.shape[1]) * token
            ends = {"posA": places[node], "posB": places[target], "patchA": circles[node], "patchB": circles[target]}
            _arrow(axes, line, connectionstyle=f"arc3,rad={bend}", **ends)
    for node, circle in enumerate(circles):
        axes.add_patch(circle)
        axes.annotate(str(node), places[node], ha="center", va="center", fontsize=5.5, zorder=4)
    for token in np.flatnonzero((presentation.successors[recurrent] >= 0).any(axis=0)).tolist():
        axes.plot([], [], **_line(token), label=f"token {token}")
    axes.set(xlim=(-_EXTENT, _EXTENT), ylim=(-_EXTENT, _EXTENT), title="recurrent states")
    axes.set_aspect("equal")
    axes.set_axis_off()


def _line(token: int) -> dict[str, Any]:
    """A token's colour and, when all colours have been used, dashes."""
    return {"color": SERIES[token % len(SERIES)], "linestyle": "-" if token < len(SERIES) else (0, (2, 1))}


def _loops(place: Float[np.ndarray, "2"], count: int) -> list[Curve]:
    """Curves from a node's edge back to it, on the side away from the centre, each around the one before."""
    outward = place / np.linalg.norm(place) if np.linalg.norm(place) else np.array([0.0, 1.0])
    sideways = np.array([-outward[1], outward[0]])
    lowest, highest = 2 * _NODE_RADIUS, _EXTENT - 0.02 - np.linalg.norm(place)
    spacing = min(0.1, (highest - lowest) / max(count - 1, 1))
    loops = []
    for number in range(count):
        # Those that lie further out begin and end further to the side, so that no arrowhead lies on another.
        angle = np.deg2rad(25 + 50 * number / max(count - 1, 1))
        end = _NODE_RADIUS * np.array([np.cos(angle), np.sin(angle)])
        # A cubic Bezier curve is highest at a quarter of its ends' height and three quarters of its controls'.
        height = (lowest + spacing * number - end[0] / 4) / 0.75
        control = np.array([height, 0.12 + 0.6 * height])
        points = [place + x * outward + side * y * sideways for x, y, side in
                  [(*end, 1), (*control, 1), (*control, -1), (*end, -1)]]  # fmt: skip
        loops.append(Curve(points, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]))
    return loops


def _arrow(axes: Axes, line: Mapping[str, Any], **course: Any) -> None:
    style = "-|>,head_width=0.15,head_length=0.3"
    axes.add_patch(FancyArrowPatch(**course, **line, arrowstyle=style, mutation_scale=7, shrinkA=0, shrinkB=0))
