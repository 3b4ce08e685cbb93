import contextlib

import pytest

from simplexity.runs import _phases
from simplexity.runs._phases import PhaseClock, PhaseSeconds


@pytest.fixture
def clock(monkeypatch):
    """Seconds that the test sets: `clock[0] += 3`."""
    now = [100.0]
    monkeypatch.setattr(_phases.time, "monotonic", lambda: now[0])
    return now


def test_an_inner_phase_stops_the_outer_one(clock):
    phases = PhaseClock()
    clock[0] += 7
    with phases.measure("computing"):
        clock[0] += 1
        with phases.measure("saving"):
            clock[0] += 2
        clock[0] += 4
        assert phases.seconds() == PhaseSeconds(computing=5, saving=2)
        clock[0] += 8
    clock[0] += 16
    with phases.measure("compiling"):
        clock[0] += 32
    assert phases.seconds() == PhaseSeconds(computing=13, saving=2, compiling=32)


def test_an_error_ends_its_phase(clock):
    phases = PhaseClock()
    with contextlib.suppress(OSError), phases.measure("restoring"):
        clock[0] += 1
        raise OSError
    clock[0] += 1
    assert phases.seconds() == PhaseSeconds(restoring=1)
