"""Pictures of factored processes and mixtures: R² of each factor's or component's belief, and how factors overlap."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from ._belief_regression import label_r2_rows
from ._style import BLUE, GREY, ORANGE, SEQUENTIAL, SKY, new_figure, save

# Of the entries of `best`: its name in the legend, its colour and its marker.
_VALUES = {
    "r2": ("trained model", BLUE, "o"),
    "r2_untrained": ("untrained model", SKY, "s"),
    "r2_shuffled": ("shuffled beliefs", GREY, "X"),
    "r2_next_token": ("next-token probabilities", ORANGE, "D"),
}
# A matrix with more rows has no room for numbers.
_MOST_NUMBERS = 3
_MOST_LAYERS = 3


def draw_targets(analysis: Mapping[str, Any], path: Path) -> Path | None:
    """Draws R² of each factor's belief state, or of a mixture's components, from the best layer and from its controls.

    Args:
        analysis: A line of analysis.jsonl.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None if the process is neither factored nor a mixture.
    """
    best = {name: target["best"] for name, target in analysis.get("targets", {}).items() if target["best"] is not None}
    if not best:
        return None
    with new_figure(height_in=0.95 + 0.16 * len(best)) as figure:
        axes = figure.subplots()
        for key, (label, colour, marker) in reversed(_VALUES.items()):
            points = [(values[key], row) for row, values in enumerate(best.values()) if values[key] is not None]
            # What predicts worse than the mean lies at the left edge.
            r2, rows = [max(value, 0.0) for value, _ in points], [row for _, row in points]
            axes.plot(r2, rows, linestyle="none", marker=marker, color=colour, label=label)
        names = [f"{name} ({values['features']})" for name, values in best.items()]
        label_r2_rows(figure, axes, names, [values["r2"] for values in best.values()])
        figure.supxlabel(f"R² of the target on held-out words, step {analysis['step']:,}", fontsize=7)
        return save(figure, path)


def draw_factor_overlaps(analysis: Mapping[str, Any], path: Path) -> Path | None:
    """Draws how much the factors' subspaces overlap in the last layers, a matrix for each.

    Args:
        analysis: A line of analysis.jsonl.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None if the process is not factored.
    """
    overlaps = list(analysis.get("factor_overlaps", {}).items())[-_MOST_LAYERS:]
    if not overlaps:
        return None
    with new_figure(height_in=2.1 if len(overlaps) == 1 else 1.6) as figure:
        # Square matrices do not fill their axes: this layout puts them next to each other, in the middle.
        figure.set_layout_engine("compressed")
        all_axes = figure.subplots(1, len(overlaps), sharey=True, squeeze=False)[0]
        for axes, (layer, matrix) in zip(all_axes, overlaps, strict=True):
            image = axes.imshow(matrix, cmap=SEQUENTIAL, vmin=0, vmax=1)
            axes.set(xlabel="factor", title=layer, xticks=range(len(matrix)), yticks=range(len(matrix)))
            if len(matrix) <= _MOST_NUMBERS:
                _print_numbers(axes, np.array(matrix))
        all_axes[0].set_ylabel("factor")
        figure.colorbar(image, ax=all_axes, label="overlap of subspaces")
        return save(figure, path)


def _print_numbers(axes: Axes, matrix: Float[np.ndarray, "factors factors"]) -> None:
    for (row, column), value in np.ndenumerate(matrix):
        colour = "black" if value > 0.5 else "white"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=5)
