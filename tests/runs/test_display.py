"""Losses as people read them."""

import pytest

from simplexity.runs import counted, nats_text, optimum_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.795139, "0.79514"), (-1e-9, "0.00000"), (9.99998, "9.99998"), (12.34567, "12.3457"), (2.9e30, "2.9e+30")],
)
def test_a_loss_takes_little_room(value, text):
    assert nats_text(value) == text


@pytest.mark.parametrize(
    ("error", "shown"),
    [(None, ""), (0.0, ""), (4e-6, ""), (6e-6, " ± 0.00001"), (5e-5, " ± 0.00005"), (5.1e-5, " ± 0.00006")],
)
def test_an_error_below_the_printed_digits_is_left_out(error, shown):
    assert optimum_text(1.29693, error) == f"1.29693{shown}"


def test_fewer_digits_leave_out_more():
    assert optimum_text(1.29693, 4e-5, digits=4) == "1.2969"
    assert optimum_text(1.29693, 6e-5, digits=4) == "1.2969 ± 0.0001"


@pytest.mark.parametrize(("number", "text"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (10_000, "10,000 runs")])
def test_one_of_a_thing_is_singular(number, text):
    assert counted(number, "run") == text
