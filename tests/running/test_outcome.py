"""A run's last line, and how its process ends."""

import math
import os
import sys

import numpy as np
import pytest

from simplexity.generative_processes import LossOptimum
from simplexity.host import PreemptionGuard
from simplexity.running._execute import _stop_here
from simplexity.running._outcome import describe_final_loss, describe_worse_than_guessing, exit_process
from simplexity.running._records import record_completion
from simplexity.runs import Ledger, RunDirectory, RunLock, read_ledger
from simplexity.training import Optima, TrainResult


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


@pytest.mark.parametrize("loss", [1.4, 5230.0, math.inf, math.nan])
def test_a_loss_above_that_of_guessing_is_remarked(loss):
    assert describe_worse_than_guessing(1.2, vocab_size=3) is None
    remark = describe_worse_than_guessing(loss, vocab_size=3)
    assert remark is not None
    assert remark.startswith("the loss, ")
    assert remark.endswith("more than 1.2 times that of guessing, log 3 = 1.09861")


def test_such_a_loss_is_remarked_in_the_log_and_the_ledger(tmp_path, caplog):
    directory = RunDirectory.create(tmp_path)
    optimum = LossOptimum(0.5, 0.0, np.zeros(1))
    with RunLock(directory.lock_path) as lock:
        for loss in (1.0, 5.0):
            ledger = Ledger(directory.ledger_path, lock.require_held)
            result = TrainResult(None, 10, True, {"loss": loss})  # pyright: ignore[reportArgumentType]
            record_completion(directory, ledger, lock, result, Optima(optimum, optimum), vocab_size=3)
    reasons = [event.reason for event in read_ledger(directory.ledger_path)]
    assert reasons == [None, describe_worse_than_guessing(5.0, 3)]
    assert reasons[1] in caplog.messages


class Guard(PreemptionGuard):
    def ignore(self):
        """Signals are this test's."""


@pytest.fixture
def readers_gone(monkeypatch):
    """This process has printed to readers that are gone; what would end it raises SystemExit."""
    streams = []
    for name in ("stdout", "stderr"):
        reader, writer = os.pipe()
        os.close(reader)
        streams.append(open(writer, "w"))  # noqa: SIM115  closed below
        streams[-1].write("not read")
        monkeypatch.setattr(sys, name, streams[-1])
    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr("logging.shutdown", lambda: None)
    yield
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
        stream.close()
    os.close(nowhere)


@pytest.mark.parametrize("exit_code", [0, 1, 85])
def test_output_whose_reader_has_gone_changes_no_exit_code(exit_code, readers_gone):
    with pytest.raises(SystemExit) as ended:
        exit_process(exit_code, Guard())
    assert ended.value.code == exit_code
    sys.stdout.flush()  # as Python does at its end


def test_closed_streams_change_no_exit_code(monkeypatch, tmp_path):
    for name in ("stdout", "stderr"):
        closed = (tmp_path / name).open("w")
        closed.close()
        monkeypatch.setattr(sys, name, closed)
    with pytest.raises(SystemExit) as ended:
        exit_process(0, Guard())
    assert ended.value.code == 0


def test_a_process_that_has_lost_its_run_ends_though_it_cannot_say_so(readers_gone):
    with pytest.raises(SystemExit) as ended:
        _stop_here()
    assert ended.value.code == 1
