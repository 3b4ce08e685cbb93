"""Picture of attention: how far back each head looks, layer by layer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ._style import mark_counts, mark_low_logarithmic, new_figure, save, series_style


def draw_attention(analysis: Mapping[str, Any], path: Path) -> Path | None:
    """Draws the mean attention of each head to the token at each distance, on a logarithmic axis.

    A head whose attention falls by the same factor from token to token is a straight line.

    Args:
        analysis: A line of analysis.jsonl.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None for a model without attention.
    """
    layers: Mapping[str, Sequence[Sequence[float]]] = analysis.get("attention", {})
    if not layers:
        return None
    num_heads = len(next(iter(layers.values())))
    with new_figure(height_in=0.6 + 0.95 * len(layers)) as figure:
        grid = figure.subplots(len(layers), 1, sharex=True, sharey=True, squeeze=False)
        for axes, (name, heads) in zip(grid[:, 0], layers.items(), strict=True):
            for head, attention in enumerate(heads):
                axes.plot(attention, label=f"head {head}", **series_style(head))
            axes.set_yscale("log")
            axes.set_title(name.removesuffix(".attention"), loc="left")
            mark_counts(axes.xaxis, 8)
        # The panels share their axis, so that its range is known once all are drawn.
        mark_low_logarithmic(grid[0, 0].yaxis)
        figure.supxlabel("distance of the token that is attended to", fontsize=7)
        figure.supylabel("mean attention", fontsize=7)
        if num_heads > 1:
            handles, labels = max(
                (axes.get_legend_handles_labels() for axes in grid[:, 0]), key=lambda pair: len(pair[1])
            )
            figure.legend(handles, labels, loc="outside upper center", ncols=min(num_heads, 4))
        return save(figure, path)
