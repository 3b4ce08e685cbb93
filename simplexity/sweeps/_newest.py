"""What a command is about that names no folder: the newest sweep or run beneath the current one."""

from pathlib import Path

from simplexity.runs import RunDirectory

from ._directory import SweepDirectory

# `hydra.run.dir` and `hydra.sweep.dir` of the packaged configs.
_RUNS, _SWEEPS = "outputs/*/*", "multirun/*/*"


def newest_sweep(current: Path) -> Path:
    """The sweep that was made last.

    Args:
        current: Folder in which commands are given.

    Raises:
        ValueError: If there is none.
    """
    return _newest(current, _SWEEPS, SweepDirectory(Path()).manifest_path, "sweep")


def newest_run(current: Path) -> Path:
    """The run, of no sweep, that was made last.

    Args:
        current: Folder in which commands are given.

    Raises:
        ValueError: If there is none.
    """
    return _newest(current, _RUNS, RunDirectory(Path()).config_path, "run")


def _newest(current: Path, pattern: str, mark: Path, what: str) -> Path:
    folders = [path for path in current.glob(pattern) if (path / mark).is_file()]
    if not folders:
        raise ValueError(f"there is no {what} in {pattern} here; name the {what}'s folder")
    # The time stands in the names; of several in one second, the later were written later.
    return max(folders, key=lambda path: (path / mark).stat().st_mtime_ns)
