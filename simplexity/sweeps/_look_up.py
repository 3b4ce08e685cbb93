"""Looking for a sweep's folder: the one that a run belongs to, the newest one, and one that is taken for a run."""

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Literal

from simplexity.runs import RunDirectory, UnreadableError, folder_problem, is_there

from ._directory import SweepDirectory
from ._text import display_path

# `hydra.run.dir` and `hydra.sweep.dir` of the packaged configs.
_RUNS, _SWEEPS = "outputs/*/*", "multirun/*/*"


def sweep_of(run_dir: Path) -> SweepDirectory | None:
    """The sweep that a run belongs to; None if it is a run of its own, or no sweep can be read.

    Args:
        run_dir: Absolute path of the run's folder.
    """
    # `hydra.sweep.subdir` may name a folder within a folder.
    for folder in run_dir.parents:
        sweep = SweepDirectory(folder)
        # No more depends on it than who draws figures, and which optima are computed twice.
        with suppress(UnreadableError):
            if is_there(sweep.manifest_path, wait=lambda _: True):
                return sweep
    return None


def no_run_problem(folder: Path) -> str:
    """Why a folder that a command names, in which no run can be found, is none; of a sweep, what to name instead.

    Raises:
        UnreadableError: If it cannot be found out, several times.
    """
    if problem := folder_problem(folder, "run"):
        return problem
    problem = f"is not a run directory: it has no {RunDirectory(folder).config_path.name}"
    sweep = SweepDirectory(folder.absolute())
    if not is_there(sweep.manifest_path):
        return problem
    # A sweep whose files are corrupt is one too.
    with suppress(RuntimeError, ValueError, OSError):
        example = display_path(sweep.run_directory(sweep.read_run(0)).path)
        problem = f"{problem}; it is a sweep: name one of its runs, such as {shlex.quote(example)}"
    return problem


def newest_folder(current: Path, what: Literal["run", "sweep", "run or sweep"]) -> Path:
    """The folder of the sweep, or of the run that belongs to no sweep, that was made last.

    Args:
        current: Folder in which commands are given.
        what: "run", "sweep" or "run or sweep".

    Raises:
        ValueError: If there is none.
    """
    marks = {"run": (_RUNS, RunDirectory(Path()).config_path), "sweep": (_SWEEPS, SweepDirectory(Path()).manifest_path)}
    wanted = [marks[kind] for kind in what.split(" or ")]
    found = {path: path / mark for pattern, mark in wanted for path in current.glob(pattern) if is_there(path / mark)}
    if not found:
        patterns = " or ".join(pattern for pattern, _ in wanted)
        raise ValueError(f"there is no {what} in {patterns} here; name the {what}'s folder")
    # The time stands in the names; of several in one second, the later were written later.
    return max(found, key=lambda path: found[path].stat().st_mtime_ns)
