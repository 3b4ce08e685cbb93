"""Pictures of belief regression: R² by layer beside its controls, and how many dimensions the activations have."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._style import BLUE, GREY, ORANGE, SKY, mark_counts, new_figure, save, series_style

# By kind of regression: its name in the legend, its colour and its marker.
_KINDS = {
    "trained": ("trained model", BLUE, "o"),
    "untrained": ("untrained model", SKY, "s"),
    "shuffled": ("shuffled beliefs", GREY, "X"),
    "control": ("without a model", ORANGE, "D"),
}
_SHARES = (0.90, 0.95, 0.99)


def draw_belief_regression(analysis: Mapping[str, Any], path: Path) -> Path | None:
    """Draws R² of belief states, a line per layer and per control.

    Args:
        analysis: A line of analysis.jsonl.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None if no R² is defined, as of belief states that never change.
    """
    rows = [row for row in analysis["regressions"] if row["r2"] is not None and row["kind"] in _KINDS]
    if not rows:
        return None
    names = list(dict.fromkeys(row["features"] for row in rows))
    with new_figure(height_in=0.85 + 0.145 * len(names)) as figure:
        axes = figure.subplots()
        # The trained model last, on top.
        for kind in reversed(_KINDS):
            _draw_kind(axes, kind, [row for row in rows if row["kind"] == kind], names)
        values = {row["features"]: row["r2"] for row in rows if row["kind"] in ("trained", "control")}
        label_r2_rows(figure, axes, names, [values.get(name) for name in names])
        figure.supxlabel(f"R² of belief states on held-out words, step {analysis['step']:,}", fontsize=7)
        return save(figure, path)


def label_r2_rows(figure: Figure, axes: Axes, names: Sequence[str], values: Sequence[float | None]) -> None:
    """Labels axes that have an R² per row: names on the left, values on the right, and the kinds above.

    Args:
        figure: What the axes are in.
        axes: Whose rows are numbered from zero, from the top; the kind that was drawn last comes first in the legend.
        names: Of the rows.
        values: Which are printed, because the eye cannot tell 0.99 from 0.999.
    """
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(-0.04, 1.04)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(linewidth=0.3, color="#dddddd")
    axes.set_axisbelow(True)
    right = axes.secondary_yaxis("right")
    texts = ["" if value is None else f"{value:.3f}".replace("-", "−") for value in values]
    right.set_yticks(range(len(names)), texts)
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles[::-1], labels[::-1], loc="outside upper center", ncols=2, handletextpad=0.3, columnspacing=1.2
    )


def draw_explained_variance(analysis: Mapping[str, Any], path: Path) -> Path:
    """Draws the cumulative explained variance of each layer's activations over their principal components.

    Args:
        analysis: A line of analysis.jsonl.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`.
    """
    variances: Mapping[str, Sequence[float]] = analysis["explained_variance"]
    most = 1
    with new_figure(height_in=2.1 + 0.1 * len(variances)) as figure:
        axes = figure.subplots()
        for index, (name, shares) in enumerate(variances.items()):
            cumulative = np.cumsum(shares)
            needed = [1 + int((cumulative < share).sum()) for share in _SHARES]
            # Behind it nothing changes any more.
            shown = min(len(cumulative), max(5, 2 * needed[-1]))
            most = max(most, shown)
            label = f"{name}: {', '.join(map(str, needed))}"
            axes.plot(np.arange(1, shown + 1), cumulative[:shown], label=label, **series_style(index))
        for share in _SHARES:
            axes.axhline(share, color=GREY, linewidth=0.4, linestyle=":")
        axes.set(
            xlim=(0.5, most + 0.5), ylim=(None, 1.01), xlabel="principal components of the activations",
            ylabel="explained variance",
        )  # fmt: skip
        mark_counts(axes.xaxis, 8)
        axes.legend(title="components to 90, 95, 99 %", loc="lower right")
        return save(figure, path)


def _draw_kind(axes: Axes, kind: str, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """A marker per regression; what is below zero, worse than the mean, is drawn at zero."""
    if not rows:
        return
    label, colour, marker = _KINDS[kind]
    axes.errorbar(
        [max(row["r2"], 0.0) for row in rows],
        [names.index(row["features"]) for row in rows],
        xerr=[row["r2_standard_error"] or 0.0 for row in rows],
        color=colour, marker=marker, linestyle="none", elinewidth=0.8, label=label,
    )  # fmt: skip
