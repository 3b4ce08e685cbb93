"""Compiled programs shared by all runs of a user, safe against kills and concurrent writers.

JAX's own persistent cache writes an entry in place: a process that is killed while it writes leaves a torn entry
behind, which JAX never repairs, so that every later run recompiles. Here an entry is written under a temporary name and
then renamed, and carries its checksum. A start touches only the entries that it needs, however many there are.
"""

import errno
import hashlib
import logging
import os
import platform
import stat
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

_log = logging.getLogger("simplexity")

# Entries are spread over 256 folders, each with its share of 2 GiB, so that making room looks at few files.
_LARGEST_BYTES = 2 * 1024**3 // 256
_CHECKSUM_BYTES = hashlib.sha256().digest_size
_TEMPORARY_PREFIX = "temporary-"
# Longer than any write takes: then its writer was killed.
_ABANDONED_S = 24 * 3600


def default_cache_folder() -> Path:
    """Where compiled programs go: $SIMPLEXITY_CACHE, or the user's cache folder.

    On a cluster it should be on a disk that all nodes see, so that a requeued task hits it on another node.
    """
    if folder := os.environ.get("SIMPLEXITY_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "simplexity"


class CompilationCache:
    """The shared folder of compiled programs, as JAX's compiler asks for them: `get` and `put`, from any thread.

    Neither raises an OSError: after the first one there is a warning, and the cache is not used any more.

    Args:
        shared: Folder of the entries; made if missing. Entries for different processors are kept apart, because a
            program compiled for one may use instructions that another lacks.

    Raises:
        OSError: If the folder cannot be written, or others could put programs into it, which are code.
    """

    def __init__(self, shared: Path):
        self._path = shared / _processor()  # by this name JAX logs it
        self._path.mkdir(parents=True, exist_ok=True)
        _require_own(self._path)
        with tempfile.TemporaryFile(dir=self._path):
            pass
        self._lock = threading.Lock()
        self._failed = False

    def get(self, key: str) -> bytes | None:
        """The entry of `key`; None if there is none, or it is corrupt, which removes it."""
        if self._failed:
            return None
        path = self._entry(key)
        try:
            content = path.read_bytes()
            with suppress(OSError):
                os.utime(path)  # what was used last is removed last
            checksum, value = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
            if hashlib.sha256(value).digest() == checksum:
                return value
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._give_up(error)
        return None

    def put(self, key: str, value: bytes) -> None:
        """Writes an entry, whole or not at all, and removes what was not used for longest if its folder is full."""
        if self._failed:
            return
        path = self._entry(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(path, hashlib.sha256(value).digest() + value)
            _make_room_beside(path, len(value))
        except OSError as error:
            self._give_up(error)

    def _entry(self, key: str) -> Path:
        return self._path / hashlib.sha256(key.encode()).hexdigest()[:2] / key

    def _give_up(self, error: OSError) -> None:
        with self._lock:
            failed, self._failed = self._failed, True
        if not failed:
            _log.warning("compiled programs are no longer kept in %s: %s", self._path, error.strerror or error)


def _require_own(folder: Path) -> None:
    status = folder.stat()
    # In a container root may be any user of the host.
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        raise PermissionError(errno.EPERM, "it belongs to another user, whose programs would be executed")
    if status.st_mode & stat.S_IWOTH:
        raise PermissionError(errno.EPERM, "all users may write there, and what they write would be executed")


def _write_whole(path: Path, content: bytes) -> None:
    file, temporary = tempfile.mkstemp(prefix=_TEMPORARY_PREFIX, dir=path.parent)
    try:
        with open(file, "wb") as stream:
            stream.write(content)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _make_room_beside(newest: Path, newest_size: int) -> None:
    """Keeps the folder of `newest` below its size, while others may do the same."""
    found = []
    for entry in os.scandir(newest.parent):
        with suppress(FileNotFoundError):
            status = entry.stat()
            if entry.name.startswith(_TEMPORARY_PREFIX):  # its writer is about to rename it, or was killed
                if time.time() - status.st_mtime > _ABANDONED_S:
                    os.unlink(entry)
            elif entry.name != newest.name:
                found.append((status.st_mtime, status.st_size, entry.path))
    total = newest_size
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > _LARGEST_BYTES:
            Path(path).unlink(missing_ok=True)


def _processor() -> str:
    """A short name for this processor's instruction set."""
    flags = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}"
