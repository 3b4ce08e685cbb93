"""Whether a folder takes what runs do in it: whole files, renames in one step, and exclusive creation."""

import errno
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from simplexity.runs import write_durably

from ._check_result import CheckResult, advice, ok, problem

_LITTLE_BYTES = 2 * 10**9
_SLOW_S = 1.0
# File systems that are a disk, or the memory, of one machine.
_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "f2fs", "ramfs"})


def check_folder(topic: str, folder: Path, key: str) -> CheckResult:
    """Tries out what runs do in a folder, and removes everything again.

    Args:
        topic: What the folder is for.
        folder: Absolute path; made for the trial if it is missing.
        key: The dotted key that chooses it.
    """
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".simplexity-doctor.{os.urandom(4).hex()}"
        try:
            took_s, defect = _try_out(probe)
        finally:
            for file in (probe, probe.with_suffix(".lock")):
                file.unlink(missing_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno is not None else str(error)
        remedy = "free some of it" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "make it writable"
        return problem(
            topic, f"{folder} cannot be written: {reason}", "No run could save.",
            f"{remedy}, or choose another (`{key}`)",
        )  # fmt: skip
    finally:
        for parent in missing:
            # What was made for the trial; a folder in use stays.
            with suppress(OSError):
                parent.rmdir()
    kind = _file_system(folder)
    found = f"{folder} ({kind}, {free / 1e9:,.0f} GB free)"
    if defect:
        return problem(
            topic, f"{found}: {defect}", "Two processes could run the same run, or half a file be read.",
            f"choose a folder on another file system (`{key}`)",
        )  # fmt: skip
    if free < _LITTLE_BYTES:
        return advice(
            topic, found, "A sweep may fill it; a run whose disk is full ends.",
            f"free some, or choose another (`{key}`)",
        )  # fmt: skip
    if took_s > _SLOW_S:
        return advice(
            topic, f"{found}: {took_s:.1f} s for a small file", "Every checkpoint and every start waits that long.",
            f"choose a faster file system (`{key}`)",
        )  # fmt: skip
    local = " The nodes must see it too, and this may be a disk of this machine alone." if kind in _LOCAL else ""
    return ok(topic, found, f"Writing, renaming and exclusive creation work, in {1000 * took_s:.0f} ms.{local}")


def _try_out(probe: Path) -> tuple[float, str]:
    """How long a durable write takes, and what the file system does wrong; empty if nothing."""
    write_durably(probe, b"old" * 1000)
    began_s = time.monotonic()
    with open(probe, "rb") as reader:
        write_durably(probe, b"new" * 1000)
        took_s = time.monotonic() - began_s
        if probe.read_bytes() != b"new" * 1000 or reader.read() != b"old" * 1000:
            return took_s, "a rename does not replace a file in one step"
    lock = probe.with_suffix(".lock")
    for is_first in (True, False):
        try:
            os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
        except FileExistsError:
            if is_first:
                raise
            return took_s, ""
    return took_s, "a file can be created twice"


def _file_system(folder: Path) -> str:
    """The kind of file system, such as nfs4 or lustre; "unknown" where the kernel does not say."""
    try:
        lines = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return "unknown"
    kinds = {}
    for line in lines:
        _, mounted_at, kind, *_ = line.split(" ")
        kinds[Path(mounted_at.replace("\\040", " "))] = kind
    real = folder.resolve()
    return next((kinds[parent] for parent in (real, *real.parents) if parent in kinds), "unknown")
