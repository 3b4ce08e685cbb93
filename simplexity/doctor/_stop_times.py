"""How long runs took to save and exit, and how long before the time limit their signal must therefore come."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from simplexity.cluster import ClusterProfile
from simplexity.runs import Event, RunDirectory, read_ledger
from simplexity.sweeps import display_path

from ._check_result import CheckResult, advice, ok, problem
from ._preemption_rules import PreemptionRules

_LEDGER = RunDirectory(Path()).ledger_path.name
_LEAST_LEAD_S = 60
_SLACK_S = 30
_WASTE = 0.02


class Stop(NamedTuple):
    """A stop that was requested of a run: the seconds until everything was saved, and which run it was."""

    seconds: float
    run: str


def read_stops(folders: Sequence[Path]) -> list[Stop]:
    """The stops that the ledgers beneath the folders record; a ledger that cannot be read records none."""
    return [
        Stop(event.stopping_s, display_path(path.parent))
        for folder in folders
        for path in _ledgers(folder)
        for event in _events(path)
        if event.stopping_s is not None
    ]


def _events(path: Path) -> list[Event]:
    try:
        return read_ledger(path)
    except (RuntimeError, OSError):
        # What doctor measures is a sample. `simplexity status` says what is wrong with this run.
        return []


def _ledgers(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        if _LEDGER in files:
            # A run's folder: thousands of files of checkpoints lie beneath it, and no other run.
            folders.clear()
            yield Path(parent) / _LEDGER


def proposed_lead_s(longest_s: float) -> int:
    """Three times the longest stop and some slack for SLURM's own clock, in whole half minutes."""
    return max(_LEAST_LEAD_S, 30 * math.ceil((3 * longest_s + _SLACK_S) / 30))


def check_signal_lead(profile: ClusterProfile, stops: Sequence[Stop]) -> CheckResult:
    """What the profile's `signal_lead_s` is worth, by the stops that were measured."""
    lead_s, limit_s = profile.signal_lead_s, 60 * profile.time_limit_minutes
    topic = "signal lead"
    if not stops:
        return advice(
            topic, f"signal_lead_s={lead_s}, and no stop was measured", "It may be too short for a large model.",
            "let doctor run its test job, or name runs that were stopped before: --runs DIR",
        )  # fmt: skip
    longest_s = max(stops).seconds
    proposed = proposed_lead_s(longest_s)
    share = lead_s / limit_s
    found = f"signal_lead_s={lead_s}; {_measured(stops)}"
    if lead_s < longest_s:
        return problem(
            topic, found, "At its time limit a run is killed while it saves, and does its work again.",
            f"set `signal_lead_s` to {proposed}",
        )  # fmt: skip
    if lead_s < proposed:
        return advice(
            topic, found, "Enough for that stop, with little to spare for a slow day.",
            f"set `signal_lead_s` to {proposed}",
        )  # fmt: skip
    if lead_s > 2 * proposed and share > _WASTE:
        return advice(
            topic, found,
            f"Enough; but {100 * share:.1f} % of each job of {profile.time_limit_minutes} min is given away.",
            f"set `signal_lead_s` to {proposed}",
        )  # fmt: skip
    return ok(topic, found, f"Enough: {proposed} would do. It costs up to {100 * share:.1f} % of each job's time.")


def check_save_time(rules: PreemptionRules, stops: Sequence[Stop]) -> CheckResult | None:
    """Whether a preempted run has the time to save; None where nothing was measured, or nothing preempts."""
    if not stops or rules.mode not in ("REQUEUE", "CANCEL"):
        return None
    longest_s = max(stops).seconds
    found = f"{rules.notice_s} s of notice; {_measured(stops)}"
    remedy = "shorten `persistence.instance.save_every_minutes`, or save to a faster file system"
    if longest_s >= rules.notice_s:
        return problem("save", found, "A preempted run is killed while it saves, and does its work again.", remedy)
    if 2 * longest_s >= rules.notice_s:
        return advice("save", found, "On a slow day a preempted run is killed while it saves.", remedy)
    return ok("save", found, "A preempted run saves in time.")


def _measured(stops: Sequence[Stop]) -> str:
    slowest = max(stops)
    which = "the one measured stop" if len(stops) == 1 else f"the longest of {len(stops)} measured stops"
    return f"{which} took {slowest.seconds:.1f} s ({slowest.run})"
