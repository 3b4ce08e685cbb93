"""What a run was computed with and where: the record that makes a number reproducible."""

import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from ._job import slurm_ids
from ._reading import read_file
from ._writing import write_durably

_PACKAGE = "simplexity"
_CHECKOUT = Path(__file__).resolve().parents[2]
# A checkout on a slow network disk must not hold up a run; what is then not known is recorded as null.
_GIT_TIMEOUT_S = 5.0


def environment_record(devices: Sequence[str] = ()) -> dict[str, Any]:
    """Versions, commit, host, SLURM ids and command line of this process.

    Args:
        devices: What the run computes on, in words; the caller knows, for nothing here may import jax.
    """
    ids = slurm_ids()
    return {
        "time": round(time.time(), 3),
        "command": sys.argv,
        "working_directory": os.getcwd(),
        "host": os.uname().nodename,
        "platform": platform.platform(),
        "cpu_count": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "devices": list(devices),
        "slurm": None if ids is None else ids._asdict(),
        "git": _own_git_state(),
        "python": platform.python_version(),
        "versions": _versions(_PACKAGE),
    }


def record_environment(path: Path, record: dict[str, Any], require_held: Callable[[], object] = lambda: None) -> None:
    """Adds an attempt's record to the list in the file.

    Args:
        path: The file.
        record: See `environment_record`.
        require_held: As in `write_durably`.

    Raises:
        RuntimeError: If the file holds something else than such a list.
    """
    write_durably(path, json.dumps([*read_environments(path), record], indent=1) + "\n", require_held)


def read_environments(path: Path) -> list[dict[str, Any]]:
    """The records of all attempts so far; none if there is no file.

    Raises:
        RuntimeError: If the file holds something else than a list.
    """
    try:
        records = json.loads(read_file(path))
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise ValueError
    except FileNotFoundError:
        return []
    except ValueError:
        raise RuntimeError(f"{path} is not a list of environments, one per attempt; move it away") from None
    return records


def environment_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The code and the versions that differ between two records: `jax 0.10.0 -> 0.11.2`; what computes comes first.

    Args:
        before: What an earlier attempt has recorded, as `read_environments` returns it.
        after: What a later one has.

    Returns:
        A text for each difference; none if the two computed with the same.
    """
    pairs = [("commit", *((record.get("git") or {}).get("commit", "unknown")[:9] for record in (before, after)))]
    pairs += [("python", *(str(record.get("python")) for record in (before, after)))]
    old, new = before.get("versions", {}), after.get("versions", {})
    names = sorted({**old, **new}, key=lambda name: (name not in ("jax", "jaxlib"), name))
    pairs += [(name, old.get(name, "none"), new.get(name, "none")) for name in names]
    return [f"{name} {was} -> {now}" for name, was, now in pairs if was != now]


@cache  # a process that executes many runs looks once: it has imported what was installed then
def _versions(package: str) -> dict[str, str]:
    """Versions of the package and of all that it needs, directly or not; without what is not installed."""
    installed = _installed()
    versions: dict[str, str] = {}
    wanted = [package]
    while wanted:
        name = wanted.pop()
        if name in versions or name not in installed:
            continue
        header = _metadata(installed[name]).partition("\n\n")[0]  # the rest is the project's description
        versions[name] = next(iter(re.findall(r"^Version: *(\S+)", header, re.MULTILINE)), "")
        wanted += map(_canonical, re.findall(r"^Requires-Dist: *([\w.-]+)", header, re.MULTILINE))
    return dict(sorted(versions.items()))


def _installed() -> dict[str, Path]:
    """The metadata of each package on Python's path, by its name.

    The standard library's importlib.metadata goes through all of the path for each name that is asked for: here
    hundreds, because a package also names what it needs only for tests.
    """
    found: dict[str, Path] = {}
    for folder in sys.path:
        with suppress(OSError):  # it may be missing, or a zip file
            for entry in os.listdir(folder or "."):
                name, dot, kind = entry.rpartition(".")
                if dot and kind in ("dist-info", "egg-info"):
                    found.setdefault(_canonical(name.partition("-")[0]), Path(folder, entry))
    return found


def _metadata(path: Path) -> str:
    for file in (path / "METADATA", path / "PKG-INFO", path):
        with suppress(OSError):
            return file.read_text(encoding="utf-8", errors="replace")
    return ""


def _canonical(name: str) -> str:
    """One spelling per package, as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache  # likewise
def _own_git_state() -> dict[str, Any] | None:
    return _git_state(_CHECKOUT)


def _git_state(checkout: Path) -> dict[str, Any] | None:
    """Commit of the checkout, and whether anything differs from it; None if this is no checkout or git is silent."""
    where = _git(checkout, "rev-parse", "--show-toplevel", "HEAD")
    # An installed package may lie within another project's repository: its commit would say nothing.
    if where is None or Path(where.split("\n")[0]).resolve() != checkout:
        return None
    changes = _git(checkout, "status", "--porcelain")
    return {"commit": where.split("\n")[1], "dirty": None if changes is None else changes != ""}


def _git(checkout: Path, *arguments: str) -> str | None:
    import subprocess

    # Within a git hook these would name another repository. Without the optional locks `git status` writes nothing.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None
