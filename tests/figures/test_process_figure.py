"""The picture of a process: what it says fits into a paper's column, and nothing lies over anything else."""

import numpy as np
import pytest
from matplotlib.patches import Circle, FancyArrowPatch

from simplexity import generative_processes as gp
from simplexity.figures import _process, draw_process


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws a process; the figure as it would be saved."""

    def draw(process):
        figures = []
        monkeypatch.setattr(_process, "save", lambda figure, path: figures.append(figure) or path)
        draw_process(gp.mixed_state_presentation(process, 20, max_states=1000), tmp_path / "process.png")
        figures[0].canvas.draw()
        return figures[0]

    return draw


# Four tokens: the legend is wider than the graph, which has half of the column.
@pytest.mark.parametrize(
    "process", [gp.mr_name(0.4, 0.25), gp.nonergodic([gp.coin(0.5)] * 2, [0.5] * 2, [[0, 1], [2, 3]])]
)
def test_the_legend_lies_over_nothing(drawn, process):
    figure = drawn(process)
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert [text.get_text() for text in legend.get_texts()] == ["token 0", "token 1", "token 2", "token 3"]
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= figure.bbox.width
    entries = [text.get_window_extent() for text in legend.get_texts()]
    labels = [axes.xaxis.label.get_window_extent() for axes in figure.axes if axes.axison]
    assert not any(label.overlaps(entry) for label in labels for entry in entries)


@pytest.mark.parametrize("factors", [[gp.coin(0.5)] * 3, [gp.golden_mean(0.5), gp.coin(0.5), gp.coin(0.5)]])
def test_arrows_begin_and_end_at_nodes_and_lie_below_the_title(drawn, factors):
    axes = drawn(gp.product(factors)).axes[-1]
    nodes = [patch for patch in axes.patches if isinstance(patch, Circle)]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 8 + 4 * (len(nodes) - 1)
    for arrow in arrows:
        # The second outline is the arrowhead's; its tip, a little before the end, is in the middle.
        curve, head = (path.vertices for path in arrow._get_path_in_displaycoord()[0])
        ends = axes.transData.inverted().transform([curve[0], head[1]])
        distances = [np.linalg.norm(ends - node.center, axis=1) / node.radius for node in nodes]
        np.testing.assert_allclose(np.min(distances, axis=0), 1, atol=0.4)
    assert max(arrow.get_window_extent().y1 for arrow in arrows) < axes.title.get_window_extent().y0


def test_several_tokens_from_a_state_to_itself_are_told_apart(drawn):
    arrows = [patch for patch in drawn(gp.coin(0.5)).axes[0].patches if isinstance(patch, FancyArrowPatch)]
    first, second = (arrow.get_window_extent() for arrow in arrows)
    assert second.y1 > first.y1 + 1
    assert second.width > first.width + 1


def test_tokens_are_counted_in_whole_numbers(drawn):
    axes = drawn(gp.golden_mean(0.5)).axes[0]
    assert axes.get_ylabel() == "tokens before it is met"
    assert all(tick == round(tick) for tick in axes.get_yticks())
