"""Status, results and a run's attempts as JSON, for programs. docs/clusters.md lists the fields, which stay."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from simplexity.runs import (
    EventKind,
    Goodput,
    RunDirectory,
    RunSummary,
    best_saved_step,
    is_alive,
    split_attempts,
    summarize,
)

from ._directory import SweepDirectory
from ._run_files import read_events
from ._run_status import RunStatus
from ._sweep_status import SweepStatus


def status_json(sweep: SweepDirectory, status: SweepStatus) -> str:
    """A sweep's status: its folder, a remark on what SLURM did not answer, and an object for every run."""
    runs = [_run(sweep, run) for run in status.runs]
    return _text({"folder": str(sweep.path), "remark": status.remark, "runs": runs})


def results_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `results_rows`: an object for every run."""
    return _text(list(rows))


def run_json(directory: RunDirectory) -> str:
    """One run: its folder, where its time went, and an object for every attempt.

    Raises:
        ValueError: If there is no run.
        RuntimeError: If its ledger cannot be read.
    """
    events = read_events(directory)
    completion, best = directory.read_completion(), best_saved_step(directory)
    attempts = [
        {
            "began": attempt.events[0].time,
            "host": attempt.events[0].host,
            "slurm": None if attempt.events[0].slurm is None else attempt.events[0].slurm._asdict(),
            "start_step": attempt.start_step,
            "reached_step": attempt.reached_step,
            "num_checkpoints": sum(event.kind == EventKind.CHECKPOINT for event in attempt.events),
            "last_event": attempt.events[-1].kind.value,
            "reason": attempt.events[-1].reason or "",
        }
        for attempt in split_attempts(events)
    ]
    return _text(
        {
            "folder": str(directory.path),
            "running": is_alive(directory.lock_path),
            "completion": None if completion is None else completion._asdict(),
            "best": None if best is None else best._asdict(),
            **_summary(summarize(events)),
            "attempts": attempts,
        }
    )


def _run(sweep: SweepDirectory, status: RunStatus) -> dict[str, Any]:
    return {
        "run": status.run.index,
        "folder": str(sweep.run_directory(status.run).path),
        "overrides": list(status.run.overrides),
        "state": status.state.value,
        "reason": status.reason,
        "step": status.step,
        "num_train_steps": status.run.num_train_steps,
        "steps_per_second": status.steps_per_s,
        "seconds_left": status.time_left_s,
        "loss_nats": status.loss_nats,
        "optimum_nats": status.optimum_nats,
        "optimum_error_nats": status.optimum_error_nats,
        "excess_nats": status.excess_nats,
        "restarts": status.restarts,
        "node": status.node,
        **_summary(status.summary),
    }


def _summary(summary: RunSummary) -> dict[str, Any]:
    goodput: Goodput = summary.goodput
    return {"saved_step": summary.saved_step, "goodput": goodput._asdict()}


def _text(record: Any) -> str:
    return json.dumps(record, indent=1, ensure_ascii=True)
