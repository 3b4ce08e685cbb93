import pytest

from simplexity.runs import Event, EventKind, next_start, split_attempts
from simplexity.runs._phases import PhaseSeconds


def event(kind, step, **fields):
    return Event(0, EventKind(kind), int(step), 0.0, 0.0, "n1", 1, None, PhaseSeconds())._replace(**fields)


def ledger(text):
    """Events from words such as "start:0 resume:0 checkpoint:100".

    After a number, "limit" marks what the time limit has stopped, "again" a failure after which the run comes back, and
    anything else the submission of a start.
    """
    events = []
    for word in text.split():
        kind, step, *mark = word.split(":")
        fields = {"reason": {"preempted": "SIGUSR2", "failed": "OSError: stale"}.get(kind)}
        if mark == ["limit"]:
            fields |= {"time_limit_s": 60, "elapsed_s": 41.0}
        elif mark == ["again"]:
            fields |= {"comes_back": True}
        elif mark:
            fields |= {"submission": mark[0]}
        events.append(event(kind, step, **fields))
    return events


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("start:0", [(0, 0, 0)]),
        ("start:0 first_step:1 checkpoint:100 preempted:100", [(0, 100, 100)]),
        ("start:0 first_step:1 checkpoint:100 failed:140", [(0, 100, 140)]),
        ("start:0 checkpoint:100 start:100 resume:100 checkpoint:200 complete:200", [(0, 100, 100), (100, 200, 200)]),
        # The checkpoint of step 200 was unreadable.
        ("start:0 checkpoint:100 checkpoint:200 start:200 resume:100 first_step:101", [(0, 200, 200), (100, 100, 101)]),
        # A ledger whose beginning is gone.
        ("checkpoint:100 start:100", [(100, 100, 100), (100, 100, 100)]),
    ],
)
def test_attempts_begin_at_starts(text, expected):
    attempts = split_attempts(ledger(text))
    assert [(a.start_step, a.saved_step, a.reached_step) for a in attempts] == expected
    assert [event for attempt in attempts for event in attempt.events] == ledger(text)


STUCK = "start:100 resume:100 first_step:101 "


@pytest.mark.parametrize(
    ("text", "allowed", "without_progress"),
    [
        ("", True, 0),
        ("start:0", True, 1),
        ("start:0 " * 3, True, 3),
        ("start:0 " * 4, False, 4),
        # Progress of the running attempt counts before the next one begins.
        ("start:0 " * 4 + "checkpoint:10", True, 0),
        ("start:0 checkpoint:100 " + STUCK * 3, True, 3),
        ("start:0 checkpoint:100 " + STUCK * 4, False, 4),
        (" ".join(f"start:{i} resume:{i} checkpoint:{i + 1} preempted:{i + 1}" for i in range(200)), True, 0),
        # It saves, but what it saved cannot be read, again and again.
        ("start:100 resume:50 checkpoint:100 " * 3, True, 3),
        ("start:100 resume:50 checkpoint:100 " * 4, False, 4),
        ("start:100 resume:50 checkpoint:100 " * 4 + "start:100 resume:50 checkpoint:101", True, 0),
        # A checkpoint was lost once; the run is resumed from an older one.
        ("start:200 resume:200 start:200 resume:50 checkpoint:80 start:80 resume:80", True, 1),
        # A person started it after it had failed, or extended it.
        ("start:0 " * 4 + "failed:0 start:0", True, 1),
        ("start:0 checkpoint:100 complete:100 start:100 resume:100", True, 1),
        ("start:0 " * 4 + "failed:0", True, 0),
        # A preemption is the cluster's act, and a time limit is not.
        ("start:0 preempted:0 " * 40, True, 0),
        ("start:0 start:0 preempted:0 start:0 start:0 preempted:0 ", True, 2),
        ("start:0 start:0 preempted:0 " * 4, False, 4),
        ("start:0 preempted:0:limit " * 3, True, 3),
        ("start:0 preempted:0:limit " * 4, False, 4),
        # A file that could not be read is no end, but counts.
        ("start:0 failed:0:again " * 3, True, 3),
        ("start:0 failed:0:again " * 4, False, 4),
    ],
)
def test_retries_are_bounded_only_without_progress(text, allowed, without_progress):
    decision = next_start(ledger(text))
    assert (decision.allowed, decision.starts_without_progress) == (allowed, without_progress)
    assert bool(decision.reason) is not allowed


def test_the_refusal_names_step_and_causes():
    decision = next_start(ledger(STUCK * 3 + "start:100 failed:100:again"))
    causes = "ended unexpectedly after first_step, OSError: stale"
    assert decision.reason == f"4 starts in a row saved nothing after step 100 ({causes})"
    assert next_start(ledger(STUCK * 4), max_retries=4).allowed


def test_a_time_limit_that_is_too_short_for_the_start_is_named():
    stops = ledger("start:0 preempted:0:limit " * 4)
    assert next_start(stops).reason == (
        "4 starts in a row saved nothing after step 0 (stopped by the time limit, a start takes more than 41 s, and "
        "the time limit is 60 s: set a longer `cluster.time_limit_minutes`)"
    )
    began = [event("start", 0), event("first_step", 1, elapsed_s=75.0), event("failed", 1), *stops]
    assert "a start takes 75 s, and the time limit is 60 s" in next_start(began).reason


def test_a_retry_by_hand_begins_to_count_anew():
    kills = ledger("start:0:array_0 " * 4)
    assert not next_start(kills, "array_0").allowed
    assert next_start(kills, "array_1") == (True, 0, "")
    assert next_start([*kills, *ledger("start:0:array_1 " * 3)], "array_1") == (True, 3, "")
