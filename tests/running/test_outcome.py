"""A run's last line."""

import pytest

from simplexity.running._outcome import describe_final_loss


@pytest.mark.parametrize(
    ("numbers", "validated", "line"),
    [
        ((0.795139, 0.794873, 1e-7), True, "final loss 0.79514 nats = optimum 0.79487 + KL 0.00027 (0.03 %)"),
        ((1.3, 1.29695, 5.3e-5), True, "final loss 1.30000 nats = optimum 1.29695 ± 0.00006 + KL 0.00305 (0.24 %)"),
        ((0.7947, 0.794873, 0.0), False, "final loss 0.79470 nats = optimum 0.79487 + excess -0.00017 (-0.02 %)"),
        # Nothing is a percentage of nothing.
        ((0.5, 0.0, 0.0), True, "final loss 0.50000 nats = optimum 0.00000 + KL 0.50000"),
        ((2.9e30, 0.5, 0.0), False, "final loss 2.9e+30 nats = optimum 0.50000 + excess 2.9e+30"),
    ],
)
def test_a_loss_is_the_optimum_and_the_rest(numbers, validated, line):
    assert describe_final_loss(*numbers, validated) == line
    assert len(line) <= 80


def test_the_longest_line_has_80_columns():
    assert len(describe_final_loss(1234.567, 1.234567, 0.0123456, validated=False)) <= 80
