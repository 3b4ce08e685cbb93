"""The loss curve, and the KL divergence by position, from the lines of metrics.jsonl."""

import pytest

from simplexity.figures._loss_curve import draw_kl_by_position, draw_loss_curve

TRAINED = [
    {"step": step, "loss": 0.83 + 1 / step, "excess": 1 / step, "optimum": 0.83, "optimum_error": 0.0}
    for step in range(10, 100, 10)
]
VALIDATED = [
    line | {"validation_loss": 0.8 + 0.5 / line["step"], "validation_kl": 0.5 / line["step"]} for line in TRAINED
]
BY_POSITION = [line | {"validation_kl_per_position": [1 / line["step"], None, 0.001]} for line in VALIDATED]


def series(drawn, panel):
    return {line.get_label(): line for line in drawn.figure.axes[panel].get_lines()}


def test_losses_and_the_optimum_of_the_validation(drawn):
    figure = drawn(lambda path: draw_loss_curve(VALIDATED, path))
    losses, excesses = series(figure, 0), series(figure, 1)
    assert losses["training"].get_xdata().tolist() == list(range(10, 100, 10))
    assert losses["validation, noise-free"].get_ydata().tolist() == [line["validation_loss"] for line in VALIDATED]
    assert losses["optimum 0.8000"].get_ydata() == pytest.approx([0.8, 0.8])
    assert excesses["validation KL divergence"].get_ydata().tolist() == [line["validation_kl"] for line in VALIDATED]
    assert figure.texts() >= {"training step", "loss (nats per token)", "excess (nats per token)"}
    assert figure.overlaps() == []


@pytest.mark.parametrize(
    "lines",
    [
        TRAINED,
        TRAINED[:1],
        [line | {"loss": None, "excess": None} for line in TRAINED],
        [line | {"excess": -0.1} for line in TRAINED],
        [{"step": 1}],
    ],
    ids=["unvalidated", "one line", "not finite", "below the optimum", "no number"],
)
def test_every_run_that_has_logged_gets_a_loss_curve(lines, drawn):
    figure = drawn(lambda path: draw_loss_curve(lines, path))
    assert "training step" in figure.texts()
    assert draw_kl_by_position(lines, [], figure.path) is None


def test_steps_are_marked_at_round_numbers(drawn):
    lines = [line | {"step": 40 * line["step"]} for line in TRAINED]
    figure = drawn(lambda path: draw_loss_curve(lines, path))
    assert {"1,000", "2,000", "3,000"} <= figure.texts()


def test_kl_by_position_of_the_last_validation_and_some_before(drawn):
    figure = drawn(lambda path: draw_kl_by_position(BY_POSITION, [], path))
    lines = series(figure, 0)
    assert list(lines) == ["10", "20", "30", "50", "90"]
    assert lines["90"].get_xdata().tolist() == [1, 2, 3]
    assert lines["90"].get_ydata()[[0, 2]].tolist() == [1 / 90, 0.001]
    assert figure.texts() >= {"after step", "position in the sequence (tokens)", "KL divergence (nats)"}
    assert figure.overlaps() == []


def test_the_only_position_is_marked_once(drawn):
    lines = [{"step": 10, "validation_kl_per_position": [0.5]}]
    assert drawn(lambda path: draw_kl_by_position(lines, [], path)).x_labels() == ["1"]


def test_the_kl_of_all_words_replaces_the_sampled_one_at_its_positions(drawn):
    exact = {"step": 90, "num_drawn": None, "kl_by_position": [0.02, 0.03]}
    sampled = {"step": 50, "num_drawn": 100, "kl_by_position": [0.5, 0.5]}
    lines = series(drawn(lambda path: draw_kl_by_position(BY_POSITION, [sampled, exact], path)), 0)
    assert lines["90"].get_ydata().tolist() == [0.02, 0.03, 0.001]
    assert lines["50"].get_ydata()[0] == 1 / 50
    alone = series(drawn(lambda path: draw_kl_by_position([], [exact], path)), 0)
    assert alone["90"].get_ydata().tolist() == [0.02, 0.03]


def test_the_same_numbers_are_the_same_files(drawn):
    def written():
        path = drawn(lambda path: draw_loss_curve(VALIDATED, path)).path
        return path.read_bytes(), path.with_suffix(".svg").read_bytes()

    assert written() == written()
