from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """What a finding asks for."""

    OK = "ok"
    """Nothing."""
    ADVICE = "advice"
    """A change that would cost less work or time; runs are safe without it."""
    PROBLEM = "problem"
    """A change without which runs do not start, or lose what they did."""


class Finding(NamedTuple):
    """One thing about a cluster, for the person who is about to use it.

    Attributes:
        severity: What it asks for.
        topic: What it is about, in a word or two.
        found: What was found, with the names and numbers of SLURM or of the profile.
        meaning: What that means for a run.
        change: What to change; empty if nothing is asked for.
    """

    severity: Severity
    topic: str
    found: str
    meaning: str
    change: str = ""


def ok(topic: str, found: str, meaning: str) -> Finding:
    """Asks for nothing."""
    return Finding(Severity.OK, topic, found, meaning)


def advice(topic: str, found: str, meaning: str, change: str) -> Finding:
    """Asks for what would be better."""
    return Finding(Severity.ADVICE, topic, found, meaning, change)


def problem(topic: str, found: str, meaning: str, change: str) -> Finding:
    """Asks for what is needed."""
    return Finding(Severity.PROBLEM, topic, found, meaning, change)
