"""The look that all figures share: a paper's widths, small type, colours that colour-blind readers tell apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito, "Color universal design" (2008).
BLUE, ORANGE, GREEN, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#56B4E9", "#888888"
FULL_WIDTH_IN = 7.0
_STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    # Text stays text in an SVG, and the same figure is the same file.
    "svg.fonttype": "none",
    "svg.hashsalt": "simplexity",
}


@contextmanager
def new_figure(height_in: float, width_in: float = FULL_WIDTH_IN) -> Iterator[Figure]:
    """An empty figure, in the common style for as long as the `with` block lasts.

    Args:
        height_in: Inches.
        width_in: Inches; by default that of a page.
    """
    with matplotlib.rc_context(_STYLE):
        # Not by pyplot, which would choose a backend and keep the figure alive.
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def save(figure: Figure, path: Path) -> list[Path]:
    """Writes a figure as PNG and as SVG beside it.

    Args:
        figure: What to write.
        path: Of the PNG.

    Returns:
        Both paths.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    figure.savefig(paths[0], dpi=200)
    figure.savefig(paths[1], dpi=200, metadata={"Date": None})
    return paths
