import math
import statistics

import pytest

from simplexity.sweeps import average_rows, averages_lines, sort_rows


def a_row(index, rate, seed, loss, *, state="complete", r2=0.5):
    return {
        "run": index, "state": state, "optimizer.rate": rate, "seed": seed, "step": 10, "loss": loss, "optimum": 0.5,
        "excess": None if loss is None else loss - 0.5, "belief_r2": r2, "belief_layer": "layer_0", "reason": "",
    }  # fmt: skip


ROWS = [
    a_row(0, "0.1", "0", 0.8),
    a_row(1, "0.1", "1", 0.9),
    a_row(2, "0.1", "2", 1.3),
    a_row(3, "0.01", "0", 0.6),
    a_row(4, "0.01", "1", 99.0, state="failed"),
    a_row(5, "0.001", "0", None, state="pending", r2=None),
]


def test_mean_and_standard_deviation_of_the_runs_that_differ_in_the_seed_alone():
    first, second, third = average_rows(ROWS, "seed")
    assert list(first) == [
        "optimizer.rate", "runs", "complete",
        "loss", "loss_sd", "optimum", "optimum_sd", "excess", "excess_sd", "belief_r2", "belief_r2_sd",
    ]  # fmt: skip
    assert (first["optimizer.rate"], first["runs"], first["complete"]) == ("0.1", 3, 3)
    assert first["loss"] == pytest.approx(1.0)
    assert first["loss_sd"] == pytest.approx(statistics.stdev([0.8, 0.9, 1.3]))
    assert first["optimum_sd"] == 0
    # What has failed counts as a run, and is in no mean; one run has no deviation.
    assert (second["runs"], second["complete"], second["loss"], second["loss_sd"]) == (2, 1, 0.6, None)
    assert (third["runs"], third["complete"], third["loss"], third["belief_r2"]) == (1, 0, None, None)


def test_a_loss_that_is_not_finite_is_not_hidden_in_a_mean():
    (row,) = average_rows([a_row(0, "1", "0", 0.8), a_row(1, "1", "1", math.inf)], "seed")
    assert row["loss"] == math.inf
    assert math.isnan(row["loss_sd"])


def test_averages_are_sorted_by_their_columns():
    rows = average_rows(ROWS, "seed")
    assert [row["optimizer.rate"] for row in sort_rows(rows, "loss")] == ["0.01", "0.1", "0.001"]
    assert [row["optimizer.rate"] for row in sort_rows(rows, "rate", descending=True)] == ["0.1", "0.01", "0.001"]
    assert [row["runs"] for row in sort_rows(average_rows(ROWS, "rate"), "seed")] == [3, 2, 1]


def test_the_table_of_averages():
    lines = list(averages_lines(average_rows(ROWS, "seed"), width=100))
    assert lines[0].split() == ["runs", "complete", "loss", "excess", "belief_r2", "optimum", "rate"]
    assert "  1.00000 ± 0.26458  " in lines[1]
    assert lines[2].split()[:3] == ["2", "1", "0.60000"]
    assert list(averages_lines([])) == ["no runs"]


def test_a_key_that_no_run_overrides():
    with pytest.raises(ValueError, match=r"`--over`: no run overrides sed; overridden are optimizer\.rate, seed$"):
        average_rows(ROWS, "sed")
    # A result is no override.
    with pytest.raises(ValueError, match="no run overrides loss"):
        average_rows(ROWS, "loss")
