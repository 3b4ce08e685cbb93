"""The picture of attention by distance."""

import numpy as np

from simplexity.figures._attention import draw_attention


def test_each_head_of_each_layer_is_a_line(tmp_path, drawn):
    fall = (0.5 ** np.arange(1, 9)).tolist()
    even = [0.2] * 8
    attention = {"layer_0.attention": [fall, even], "layer_1.attention": [even, fall]}
    figure = drawn(lambda path: draw_attention({"step": 3, "attention": attention}, path))
    lines = [line.get_ydata() for axes in figure.figure.axes for line in axes.get_lines()]
    np.testing.assert_allclose(lines, [fall, even, even, fall])
    assert {"layer_0", "layer_1", "head 0", "head 1"} <= figure.texts()
    assert figure.overlaps() == []


def test_the_labels_of_many_layers_do_not_overlap(drawn):
    heads = [np.geomspace(0.36, 0.023, 11).tolist()]
    attention = {f"layer_{layer}.attention": heads for layer in range(4)}
    figure = drawn(lambda path: draw_attention({"step": 3, "attention": attention}, path))
    assert {"0.05", "0.1", "0.2"} <= figure.texts()
    assert figure.overlaps() == []


def test_a_model_without_attention_has_no_picture(tmp_path):
    assert draw_attention({"step": 3, "attention": {}}, tmp_path / "figure.png") is None
    # A line that an earlier version wrote.
    assert draw_attention({"step": 3}, tmp_path / "figure.png") is None
