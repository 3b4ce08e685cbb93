"""Status, results and a run's attempts as JSON, for programs. docs/clusters.md lists the fields, which stay."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from simplexity.runs import (
    EventKind,
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


def status_json(sweep: SweepDirectory, status: SweepStatus) -> Iterator[str]:
    """A sweep's status: its folder, a remark on what SLURM did not answer, and an object for every run.

    Args:
        sweep: The sweep's folder.
        status: What `read_status` has found in it.

    Yields:
        Pieces of the text, as whole it may be a hundred megabytes.
    """
    head = _text({"folder": str(sweep.path), "remark": status.remark}).removesuffix("\n}")
    yield f'{head},\n "runs": '
    yield from _list((_run(sweep, run) for run in status.runs), indent=" ")
    yield "\n}\n"


def results_json(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The rows of `results_rows`: an object for every run.

    Yields:
        Pieces of the text.
    """
    yield from _list(map(dict, rows))
    yield "\n"


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
            **_progress(summarize(events)),
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
        **_progress(status),
    }


def _progress(known: RunStatus | RunSummary) -> dict[str, Any]:
    return {"saved_step": known.saved_step, "goodput": known.goodput._asdict()}


def _list(records: Iterable[Any], indent: str = "") -> Iterator[str]:
    """A list's text, an entry at a time, as it stands within a text that is indented so far."""
    separator = "["
    for record in records:
        yield f"{separator}\n{textwrap.indent(_text(record), indent + ' ')}"
        separator = ","
    yield "[]" if separator == "[" else f"\n{indent}]"


def _text(record: Any) -> str:
    return json.dumps(record, indent=1, ensure_ascii=True)
