"""What a checkpoint holds, and proof that it still does.

Neither Orbax nor TensorStore keeps a checksum of an array's bytes: a flipped bit on a disk would come back as a
slightly different parameter, and a corrupt index as a dozen tracebacks on stderr. So each checkpoint has a
`manifest.json` with every array's shape and type, the SHA-256 of every file, and one of itself. It is checked before
Orbax reads anything.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from simplexity.runs import files_below, naming, read_file

_FILE_NAME = "manifest.json"
_NOT_THERE = (FileNotFoundError, NotADirectoryError)


class Leaf(NamedTuple):
    """Shape and type of a saved array; `key_impl` is set for typed random keys, of which the raw words are saved."""

    shape: tuple[int, ...]
    dtype: str
    key_impl: str | None

    def __str__(self) -> str:
        kind = self.dtype if self.key_impl is None else f"random keys, {self.key_impl}"
        return f"shape {self.shape} ({kind})"


class Manifest(NamedTuple):
    """The saved arrays by name, and the SHA-256 of every file by its path inside of the checkpoint."""

    leaves: dict[str, Leaf]
    files: dict[str, str]


class CorruptCheckpointError(Exception):
    """A checkpoint is not, byte for byte, what was saved: a file is not there, or does not match its checksum.

    An error in reading a file is none of this: nothing is known about its bytes then.
    """


def write_manifest(checkpoint: Path, leaves: dict[str, Leaf]) -> None:
    """Adds the manifest to a directory that is otherwise complete."""
    files = {path.relative_to(checkpoint).as_posix(): digest_of_file(path) for path in sorted(files_below(checkpoint))}
    content = {"leaves": {name: list(leaf) for name, leaf in leaves.items()}, "files": files}
    text = json.dumps(content | {"sha256": _digest_of_content(content)}, indent=1)
    # On disk with all else when the checkpoint is committed.
    (checkpoint / _FILE_NAME).write_text(text, encoding="utf-8")


def read_manifest(checkpoint: Path) -> Manifest:
    """The manifest of a checkpoint.

    Raises:
        CorruptCheckpointError: If it is missing or is not what was written.
        OSError: If it cannot be read.
    """
    try:
        content = json.loads(read_file(checkpoint / _FILE_NAME))
    except _NOT_THERE as error:
        raise CorruptCheckpointError(f"`{_FILE_NAME}`: {error.strerror}") from error
    except ValueError as error:
        raise CorruptCheckpointError(f"`{_FILE_NAME}` is not JSON") from error
    digest = content.pop("sha256", None) if isinstance(content, dict) else None
    if digest != _digest_of_content(content):
        raise CorruptCheckpointError(f"`{_FILE_NAME}` does not match its checksum")
    leaves = {name: Leaf(tuple(shape), dtype, key_impl) for name, (shape, dtype, key_impl) in content["leaves"].items()}
    return Manifest(leaves, content["files"])


def digest_of_manifest(checkpoint: Path) -> str:
    """The SHA-256 of the manifest's file.

    Raises:
        OSError: If it cannot be read.
    """
    return digest_of_file(checkpoint / _FILE_NAME)


def verify_files(checkpoint: Path, manifest: Manifest) -> None:
    """That every file is what was written.

    Raises:
        CorruptCheckpointError: Naming the first file that is missing or differs.
        OSError: If one cannot be read.
    """
    for name, digest in manifest.files.items():
        try:
            found = digest_of_file(checkpoint / name)
        except _NOT_THERE as error:
            raise CorruptCheckpointError(f"`{name}`: {error.strerror}") from error
        if found != digest:
            raise CorruptCheckpointError(f"`{name}` does not match its checksum")


def digest_of_file(path: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        OSError: If it cannot be read.
    """
    with naming(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of_content(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
