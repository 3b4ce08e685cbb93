import pytest

from simplexity.runs import Event, EventKind, Goodput, summarize
from simplexity.runs._job import SlurmIds
from simplexity.runs._phases import PhaseSeconds


class Script:
    """Writes events by hand: kind, step, unix time, elapsed seconds, and the phases' seconds so far."""

    def __init__(self):
        self.events = []

    def __call__(self, kind, step, time, elapsed_s=0.0, computing=0.0, **more):
        phases = {name: more.pop(name) for name in PhaseSeconds._fields if name in more}
        ids = SlurmIds("1", None, None, 0, None, None)
        seconds = PhaseSeconds(computing=computing, **phases)
        event = Event(len(self.events), EventKind(kind), step, time, elapsed_s, "n1", 1, ids, seconds, **more)
        self.events.append(event)


@pytest.fixture
def script():
    return Script()


def test_a_run_that_never_started():
    summary = summarize([])
    assert (summary.attempts, summary.last_step, summary.last_event) == (0, 0, None)
    assert summary.goodput == Goodput()
    assert summary.goodput.fraction == 0.0


def test_a_preempted_run_loses_no_step(script):
    script("start", 0, 1000.0)
    script("first_step", 1, 1005.0, 5.0, compiling=4.0)
    script("checkpoint", 100, 1016.0, 16.0, 10.0, compiling=4.0, saving=0.5)
    script("preempted", 100, 1016.5, 16.5, 10.0, compiling=4.0, saving=1.0)
    script("start", 100, 1076.5)
    script("resume", 100, 1078.5, 2.0, restoring=1.0)
    script("complete", 150, 1086.5, 10.0, 5.0, compiling=2.0, restoring=1.0)
    summary = summarize(script.events)
    assert (summary.attempts, summary.last_step, summary.saved_step) == (2, 150, 150)
    assert summary.goodput == Goodput(
        computing_s=15.0,
        compiling_s=6.0,
        saving_s=1.0,
        restoring_s=1.0,
        other_s=3.5,
        lost_s=0.0,
        waiting_s=60.0,
        steps_lost=0,
    )
    assert summary.goodput.total_s == 1086.5 - 1000.0
    assert summary.goodput.fraction == pytest.approx(15.0 / 86.5)


def test_a_kill_loses_the_work_since_the_last_checkpoint(script):
    script("start", 0, 1000.0)
    script("checkpoint", 100, 1010.0, 10.0, 10.0)
    # Killed at 1018; its last heartbeat was at 1017, its last metrics were those of step 170.
    script("start", 100, 1030.0, previous_alive=1017.0)
    script("resume", 100, 1031.0, 1.0, reached_step=170)
    script("checkpoint", 200, 1041.0, 11.0, 10.0)
    goodput = summarize(script.events).goodput
    assert goodput == Goodput(computing_s=20.0, other_s=1.0, lost_s=7.0, waiting_s=13.0, steps_lost=70)
    assert goodput.total_s == 41.0


def test_an_unreadable_checkpoint_loses_what_was_recorded(script):
    script("start", 0, 0.0)
    script("checkpoint", 100, 10.0, 10.0, 10.0)
    script("start", 100, 10.0)
    script("resume", 100, 10.0)
    script("checkpoint", 200, 20.0, 10.0, 10.0)
    script("start", 200, 20.0)
    script("resume", 50, 20.0)
    script("checkpoint", 200, 35.0, 15.0, 15.0)
    goodput = summarize(script.events).goodput
    assert goodput == Goodput(computing_s=20.0, lost_s=15.0, steps_lost=150)
    assert goodput.total_s == 35.0


@pytest.mark.parametrize("previous_alive", [None, 0.0, 5000.0])
def test_a_clock_set_back_between_attempts_gives_no_negative_time(script, previous_alive):
    script("start", 0, 1000.0)
    script("checkpoint", 100, 900.0, 20.0, 15.0)
    script("start", 100, 500.0, previous_alive=previous_alive)
    goodput = summarize(script.events).goodput
    assert goodput == Goodput(computing_s=15.0, other_s=5.0)


def test_a_refused_start_leaves_the_attempts_numbers_alone(script):
    script("start", 0, 1000.0)
    script("checkpoint", 100, 1010.0, 10.0, 9.0)
    script("failed", 100, 1100.0, 0.01, reason="no progress")
    assert summarize(script.events).goodput == Goodput(computing_s=9.0, other_s=1.0)
