"""The look that all figures share: the width of a paper's column, small type, colours for colour-blind readers too."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

# Okabe and Ito, "Color universal design" (2008).
BLUE, ORANGE, GREEN, SKY, PURPLE, AMBER = "#0072B2", "#D55E00", "#009E73", "#56B4E9", "#CC79A7", "#E69F00"
GREY = "#888888"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY)
"""For lines that stand for categories, in this order."""
# A transformer has many layers: where the colours are used up, they begin again with other markers.
_MARKERS = (("-", "."), ("--", "s"), (":", "^"), ("-.", "x"))
# Blue, amber and a dark red differ in lightness as well as in hue. With a green or a second orange in place of the dark
# red, a reader who sees no red or no green takes a mixture of two of them for the third.
CORNERS = (BLUE, AMBER, "#5A1020")
"""For the three corners of a plane, between which colours are mixed."""
SEQUENTIAL = "cividis"
"""For what is more or less of one thing: equally bright steps, also for readers who see no red or no green."""
COLUMN_IN = 3.4
_STYLE: Any = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.fontsize": 6.5,
    "legend.handlelength": 1.6,
    # Text stays text in an SVG, and the same figure is the same file.
    "svg.fonttype": "none",
    "svg.hashsalt": "simplexity",
}


@contextmanager
def new_figure(height_in: float) -> Iterator[Figure]:
    """An empty figure as wide as a column, in the common style for as long as the `with` block lasts.

    Args:
        height_in: Inches.
    """
    with matplotlib.rc_context(_STYLE):
        # Not by pyplot, which would choose a backend and keep the figure alive.
        figure = Figure(figsize=(COLUMN_IN, height_in), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def series_style(index: int) -> dict[str, Any]:
    """Colour, marker and dashes of a line that stands for a category, for `plot`.

    Args:
        index: Of the category; 24 of them have a look of their own, and the 25th looks like the first.
    """
    line_style, marker = _MARKERS[index // len(SERIES) % len(_MARKERS)]
    size = 3.5 if marker == "." else 2.5
    return {"color": SERIES[index % len(SERIES)], "linestyle": line_style, "marker": marker, "markersize": size}


def mark_counts(axis: Axis, most: int) -> None:
    """Puts ticks at multiples of 1, 2 or 5 times a power of ten, and writes thousands as 1,000.

    Args:
        axis: Of steps, positions, components: of what is counted.
        most: About how many ticks there is room for.
    """
    # By default there are at least two ticks: fractions, all labelled alike, where a single count lies on the axis.
    axis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axis.set_major_formatter("{x:,.0f}")


def mark_low_logarithmic(axis: Axis) -> None:
    """Labels a logarithmic axis that has little room, at 1, 2 and 5 times powers of ten if it spans few of these.

    Args:
        axis: With its data.
    """
    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 30 * low else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, path: Path) -> Path:
    """Writes a figure as PNG and as SVG beside it.

    Args:
        figure: What to write.
        path: Of the PNG, which is returned.

    Raises:
        OSError: If a file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=300)
    figure.savefig(path.with_suffix(".svg"), dpi=300, metadata={"Date": None})
    return path
