"""A sweep's manifest on disk: how the sweep was launched, and a file with a line for every run, which batches join.

The manifest's own file says how many lines there are. It is written last, so that there may be more of them (a process
was killed in between), and never fewer, unless some were lost.

Up to format 1 the runs stood in the manifest's own file. Such a file is read as before, and gets the new form when a
batch joins the sweep.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import fields
from operator import itemgetter
from pathlib import Path
from sys import intern
from typing import Any

from simplexity.runs import append_json_lines, iter_json_lines, json_line, read_file, renew_json_lines, write_durably

from ._launch_settings import launch_from_json, launch_to_json, without_private_values
from ._manifest import Manifest, SweepRun

_FORMAT = 2
_run_values = itemgetter(*SweepRun._fields)
_HEAD_KEYS = {field.name for field in fields(Manifest)} - {"launch", "runs"}


def head_text(manifest: Manifest) -> str:
    """The manifest's own file: JSON, without the runs and without the values of environment variables."""
    head = {
        "format": _FORMAT,
        "program": manifest.program,
        "config_name": manifest.config_name,
        "created": manifest.created,
        "version": manifest.version,
        "working_folder": manifest.working_folder,
        "launch": launch_to_json(without_private_values(manifest.launch)),
        "num_runs": len(manifest.runs),
    }
    return json.dumps(head, indent=1) + "\n"


def runs_text(runs: Iterable[SweepRun]) -> str:
    """The runs' file: a line of JSON for every run."""
    return "".join(json_line(run._asdict()) for run in runs)


def write(path: Path, runs_path: Path, manifest: Manifest) -> None:
    """Writes both files; the runs first, because the other one makes the folder a sweep."""
    write_durably(runs_path, runs_text(manifest.runs))
    write_durably(path, head_text(manifest))


def append(path: Path, runs_path: Path, manifest: Manifest, runs: Iterable[SweepRun]) -> None:
    """Adds a batch of runs; the lines that are there are not written again.

    Args:
        path: The manifest's file.
        runs_path: The runs' file.
        manifest: With the new runs too.
        runs: The new ones.
    """
    if _load(path)["format"] < _FORMAT:
        write(path, runs_path, manifest)
        return
    with open(runs_path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 2))
        is_torn = file.read() not in (b"}\n", b"")
    if is_torn:
        renew_json_lines(runs_path)
    append_json_lines(runs_path, [run._asdict() for run in runs])
    write_durably(path, head_text(manifest))


def read(path: Path, runs_path: Path, *, with_runs: bool = True) -> Manifest:
    """Reads what `write` and `append` wrote.

    Args:
        path: The manifest's file.
        runs_path: The runs' file.
        with_runs: Whether the runs are wanted. A hundred thousand take half a second and 50 MB.

    Raises:
        ValueError: If it is something else, or of a later version of simplexity, or runs are missing.
    """
    try:
        head = _load(path)
        if head.pop("format") not in (1, _FORMAT):
            raise ValueError("another version of simplexity wrote it")
        # Only a manifest of format 1 has them.
        records = head.pop("runs", None)
        # Earlier versions did not write it.
        num_runs = head.pop("num_runs", 1)
        if records is None:
            records = iter_json_lines(runs_path) if with_runs else []
        # A line that is there twice is one run, the first as in `read_run`, and must not hide another that is lost.
        by_index: dict[int, SweepRun] = {}
        for run in map(_run, records):
            by_index.setdefault(run.index, run)
        runs = by_index.values()
        if with_runs and len(runs) < num_runs:
            # What reports on the others would report that all are complete.
            remedy = f", or set `num_runs` in {path.name} to {len(runs)} to continue without the others" if runs else ""
            found = f"{len(runs)} of {num_runs} runs" if runs else "no run any more"
            raise ValueError(f"{runs_path.name} has {found}; restore {runs_path.name} from a copy{remedy}")
        # A later version may have written more of the same format.
        known = {name: value for name, value in head.items() if name in _HEAD_KEYS}
        # Runs that a killed search has left out come later, and so do their lines.
        return Manifest(launch=launch_from_json(head.pop("launch")), runs=tuple(sorted(runs)), **known)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def read_run(path: Path, runs_path: Path, index: int) -> SweepRun | None:
    """The run of an index, without the others; None if there is none in the runs' file.

    Raises:
        ValueError: If the files are something else.
    """
    if _load(path)["format"] != _FORMAT:
        return None
    beginning = json_line({"index": index}).removesuffix("}\n").encode() + b","
    with open(runs_path, "rb") as file:
        line = next((line for line in file if line.startswith(beginning) and line.endswith(b"}\n")), None)
    return None if line is None else _run(json.loads(line))


def _load(path: Path) -> dict[str, Any]:
    """The content of the manifest's own file."""
    record = json.loads(read_file(path))
    if not isinstance(record, dict) or "format" not in record:
        raise ValueError("it has no format")
    return record


def _run(record: dict[str, Any]) -> SweepRun:
    index, overrides, *others = _run_values(record)
    # The same object for all runs that have an override in common.
    return SweepRun(index, tuple(map(intern, overrides)), *others)
