"""Compiled programs shared by all runs of a user, safe against kills and concurrent writers.

JAX writes an entry of its persistent cache in place: a process that is killed while it writes leaves a torn entry
behind, which JAX never repairs, so that every later run recompiles. Here each process gets a folder of its own, filled
with hard links to the shared entries. JAX reads and writes there, and only whole new entries are then linked back.
"""

import hashlib
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

_PRIVATE_PREFIX = "process-"
_ABANDONED_S = 7 * 24 * 3600
_LARGEST_BYTES = 2 * 1024**3


def default_cache_folder() -> Path:
    """Where compiled programs go: $SIMPLEXITY_CACHE, or the user's cache folder.

    On a cluster it should be on a disk that all nodes see, so that a requeued task hits it on another node.
    """
    if folder := os.environ.get("SIMPLEXITY_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "simplexity"


class CompilationCache:
    """One process's view of the shared folder of compiled programs.

    Args:
        shared: Folder of the entries; made if missing. Entries for different processors are kept apart, because a
            program compiled for one may use instructions that another lacks.

    Raises:
        OSError: If the folder cannot be written.
    """

    def __init__(self, shared: Path):
        self._shared = shared / _processor()
        self._shared.mkdir(parents=True, exist_ok=True)
        self._remove_abandoned()
        # Within the shared folder, because hard links do not cross file systems.
        self.folder = Path(tempfile.mkdtemp(prefix=_PRIVATE_PREFIX, dir=self._shared))
        for entry in self._entries(self._shared):
            _link(entry, self.folder / entry.name)

    def publish(self) -> None:
        """Shares the new entries. Call it while nothing compiles: an entry may only be shared when it is whole."""
        for entry in self._entries(self.folder):
            _link(entry, self._shared / entry.name)

    def close(self) -> None:
        """Removes this process's folder and, if the shared one has grown too large, its oldest entries."""
        shutil.rmtree(self.folder, ignore_errors=True)
        sizes = sorted(((e.stat().st_mtime, e.stat().st_size, e) for e in self._entries(self._shared)), reverse=True)
        total = 0
        for _, size, entry in sizes:
            total += size
            if total > _LARGEST_BYTES:
                entry.unlink(missing_ok=True)

    @staticmethod
    def _entries(folder: Path) -> list[Path]:
        return [path for path in folder.iterdir() if path.is_file()]

    def _remove_abandoned(self) -> None:
        """Removes folders of processes that were killed."""
        for folder in self._shared.glob(_PRIVATE_PREFIX + "*"):
            try:
                if time.time() - folder.stat().st_mtime > _ABANDONED_S:
                    shutil.rmtree(folder, ignore_errors=True)
            except FileNotFoundError:
                continue  # another process was faster


def _link(source: Path, target: Path) -> None:
    """Makes `target` another name of `source`, at once and whole, unless it exists or `source` was just removed."""
    try:
        os.link(source, target)
    except (FileExistsError, FileNotFoundError):
        return


def _processor() -> str:
    """A short name for this processor's instruction set."""
    flags = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}"
