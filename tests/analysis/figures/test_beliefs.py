"""The pictures of belief states are drawn for every kind of process, as PNG and as SVG with text in it."""

import jax
import numpy as np
import pytest
from matplotlib.image import imread

from simplexity import generative_processes as gp
from simplexity.analysis import regress_beliefs
from simplexity.analysis.figures import draw_beliefs, draw_regression
from simplexity.predictive_models import GRU


@pytest.mark.parametrize(
    ("process", "labels"),
    [
        (gp.mess3(0.05, 0.85), ("state 0", "state 2")),  # a simplex
        (gp.rrxor(0.5, 0.5), ("component 1 of the beliefs",)),  # more than three states
        (gp.tom_quantum(1.0, 7.0), ("component 2 of the beliefs",)),  # predictive vectors
        (gp.even_ones(0.5), ("component 1 of the beliefs",)),  # two states: a line
    ],
    ids=["mess3", "rrxor", "tom_quantum", "even_ones"],
)
def test_pictures(process, labels, tmp_path):
    model = GRU(4, 2, vocab_size=process.vocab_size, key=jax.random.key(0))
    found = regress_beliefs(model, process, 4)
    png, svg = draw_beliefs(found, tmp_path / "figures" / "beliefs.png")
    text = svg.read_text()
    assert all(label in text for label in ("truth", "layer_1: R²", "all layers: R²", *labels))
    # A panel for the truth and one for each of the three regressions: something is drawn in each quarter.
    quarters = np.array_split(imread(png)[..., :3], 4, axis=1)
    assert all((quarter < 0.9).any() for quarter in quarters)

    png, svg = draw_regression(found, tmp_path / "figures" / "regression.png")
    text = svg.read_text()
    assert all(row.name in text for row in found.rows)
    assert png.stat().st_size > 5_000


def test_the_same_figure_is_the_same_file(tmp_path):
    found = regress_beliefs(GRU(2, 1, vocab_size=2, key=jax.random.key(0)), gp.even_ones(0.5), 3)
    files = [draw_beliefs(found, tmp_path / name / "beliefs.png") for name in ("a", "b")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
