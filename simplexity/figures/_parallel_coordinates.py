"""The picture of a search: a line per run through its values of all swept keys, coloured by its final KL."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from ._style import COLUMN_IN, new_figure, save
from ._sweep_data import SweepData, SweptKey
from ._sweep_lines import colouring

_LEAST_RUNS = 3
# Between two labels of an axis, as a share of its height.
_LEAST_GAP = 0.06
_RESULT = "final loss − optimum\n(nats per token)"


def draw_parallel_coordinates(data: SweepData, path: Path) -> Path | None:
    """Draws each complete run as a line through the swept keys to its final loss minus optimum.

    Args:
        data: The sweep's.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None if fewer than two keys were swept, or fewer than three runs are complete.
    """
    known = np.flatnonzero(np.isfinite(data.final_kl))
    if len(data.keys) < 2 or len(known) < _LEAST_RUNS:
        return None
    final_kl = data.final_kl[known]
    result = SweptKey(_RESULT, tuple(map(float, final_kl)), bool((final_kl > 0).all()))
    columns = [key._replace(values=tuple(key.values[run] for run in known)) for key in data.keys]
    columns.append(result)
    heights = np.stack([_heights(column) for column in columns], axis=1)
    _, colours = colouring(final_kl)
    with new_figure(height_in=2.5) as figure:
        # A paper's whole width for many keys.
        figure.set_figwidth(COLUMN_IN if len(columns) <= 5 else 2 * COLUMN_IN + 0.2)
        axes = figure.subplots()
        # The best last, on top. A run without a value of a key has a gap there.
        for run in np.argsort(-final_kl, kind="stable"):
            axes.plot(range(len(columns)), heights[run], color=colours[run], linewidth=0.9, alpha=0.9)
        for number, column in enumerate(columns):
            axes.axvline(number, color="black", linewidth=0.6)
            _draw_scale(axes, number, column, heights[:, number])
        axes.set_xticks(range(len(columns)), [column.label for column in columns], rotation=20, ha="right")
        axes.set(xlim=(-0.25, len(columns) - 0.4), ylim=(-0.04, 1.04), yticks=[])
        axes.tick_params(axis="x", length=0)
        axes.spines[:].set_visible(False)
        return save(figure, path)


def _heights(column: SweptKey) -> Float[np.ndarray, " runs"]:
    """From 0 for the least value to 1 for the greatest; a single value is in the middle."""
    places = column.places()
    if column.is_logarithmic:
        places = np.log(places)
    known = places[np.isfinite(places)]
    if len(known) == 0 or np.ptp(known) == 0:
        return np.where(np.isfinite(places), 0.5, np.nan)
    return (places - known.min()) / np.ptp(known)


def _draw_scale(axes: Axes, number: int, column: SweptKey, heights: Float[np.ndarray, " runs"]) -> None:
    """All categories, all numbers if there is room for them, else the least and the greatest, right of their axis."""
    places, categories = column.places(), column.categories
    known = np.isfinite(places)
    if not known.any():
        return
    marked = np.unique(places[known])
    if categories is None and len(marked) > 1 and np.diff(np.unique(heights[known])).min() < _LEAST_GAP:
        marked = marked[[0, -1]]
    for place in marked:
        at = heights[places == place]
        if len(at):
            text = categories[int(place)] if categories else f"{place:.3g}"
            axes.annotate(
                text, (number, at[0]), xytext=(2, 0), textcoords="offset points", va="center", fontsize=6,
                bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
            )  # fmt: skip
