"""What a figure shows: its texts and points, and whether any texts overlap or are cut."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text


class Drawn:
    """A figure as it was saved.

    Args:
        figure: The last one that was written.
        path: Of its PNG.
    """

    def __init__(self, figure: Figure, path: Path):
        self.figure = figure
        self.path = path

    @property
    def width_in(self) -> float:
        return self.figure.get_size_inches()[0]

    def _visible(self) -> list[Text]:
        found = [text for text in self.figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
        # Ticks beyond the limits of an axis are not drawn, and neither are those of axes that are off.
        ticks = {id(label): False for axes in self.figure.axes for label in _tick_labels(axes, drawn=False)}
        ticks |= {id(label): True for axes in self.figure.axes for label in _tick_labels(axes, drawn=True)}
        return [text for text in found if ticks.get(id(text), True)]

    def texts(self) -> set[str]:
        """All that can be read in the figure."""
        return {text.get_text() for text in self._visible()}

    def points(self) -> list[np.ndarray]:
        """The points of each scatter plot, in the order of drawing."""
        return [np.asarray(found.get_offsets()) for found in self.figure.findobj(PathCollection)]

    def line_points(self) -> list[tuple[float, float]]:
        """The points of all lines with markers in the first axes, but for the ends of error bars."""
        lines = [line for line in self.figure.axes[0].get_lines() if line.get_marker() not in ("None", None, "", "|")]
        return [(float(x), float(y)) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]

    def x_labels(self) -> list[str]:
        """What is written at the ticks of the first axes' x axis, in order."""
        axis = self.figure.axes[0].xaxis
        low, high = axis.get_view_interval()
        return [tick.label1.get_text() for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]

    def overlaps(self) -> list[str]:
        """Texts that overlap another one, or that the figure's edge cuts."""
        # Where things are is known of the last drawing alone, which was at another resolution.
        self.figure.draw_without_rendering()
        renderer = self.figure.canvas.get_renderer()
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in self._visible()]
        width, height = self.figure.bbox.width, self.figure.bbox.height
        cut = [name for name, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height]
        # A box around a text that is not level tells little of where its letters are.
        level = [text for text in self._visible() if text.get_rotation() % 90 == 0]
        pairs = combinations([(text.get_text(), text.get_window_extent(renderer)) for text in level], 2)
        return cut + [f"{one} | {other}" for (one, a), (other, b) in pairs if a.overlaps(b) and a.x0 != b.x0]


def _tick_labels(axes, *, drawn: bool) -> list[Text]:
    found = []
    for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            inside = low - 1e-9 <= tick.get_loc() <= high + 1e-9 and axes.axison
            if inside or not drawn:
                found += [tick.label1, tick.label2]
    return found


@pytest.fixture
def drawn(tmp_path, monkeypatch) -> Callable[[Callable[[Path], object]], Drawn]:
    """Draws by a function that takes the path of the PNG."""
    saved: list[Figure] = []
    write = Figure.savefig

    def record(figure: Figure, *arguments, **settings) -> None:
        saved.append(figure)
        # What is checked is where things are, for which a few dots will do.
        write(figure, *arguments, **settings | {"dpi": 60})

    monkeypatch.setattr(Figure, "savefig", record)

    def draw(function: Callable[[Path], object]) -> Drawn:
        path = tmp_path / "figures" / "figure.png"
        assert function(path) is not None
        assert path.is_file()
        assert path.with_suffix(".svg").is_file()
        return Drawn(saved[-1], path)

    return draw
