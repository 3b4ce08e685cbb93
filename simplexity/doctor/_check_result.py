"""What a check of the cluster results in: how serious it is, what was found, what that means, and what to change."""

from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """What a check result requires."""

    OK = "ok"
    """Nothing."""
    ADVICE = "advice"
    """A change that would cost less work or time; runs are safe without it."""
    PROBLEM = "problem"
    """A change without which runs do not start, or lose what they did."""


class CheckResult(NamedTuple):
    """One thing about a cluster, for the person who is about to use it.

    Attributes:
        severity: What it requires.
        topic: What it is about, in a word or two.
        found: What was found, with the names and numbers of SLURM or of the profile.
        meaning: What that means for a run.
        change: What to change; empty if nothing is required.
    """

    severity: Severity
    topic: str
    found: str
    meaning: str
    change: str = ""


def ok(topic: str, found: str, meaning: str) -> CheckResult:
    """A result that requires nothing."""
    return CheckResult(Severity.OK, topic, found, meaning)


def advice(topic: str, found: str, meaning: str, change: str) -> CheckResult:
    """A result with a change that would be better."""
    return CheckResult(Severity.ADVICE, topic, found, meaning, change)


def problem(topic: str, found: str, meaning: str, change: str) -> CheckResult:
    """A result with a change that is needed."""
    return CheckResult(Severity.PROBLEM, topic, found, meaning, change)
