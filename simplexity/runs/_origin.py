"""What a run began with beside its config, and keeps on every later start."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ._reading import read_file
from ._writing import write_durably


@dataclass(frozen=True)
class DataFile:
    """A file that the config names, of which the run directory has a copy.

    Args:
        path: As the config has it.
        sha256: Of its content.
        copy: The copy, relative to the run directory.
    """

    path: str
    sha256: str
    copy: str


@dataclass(frozen=True)
class LoadedWeights:
    """The saved model whose weights a run began with.

    Args:
        directory: The run that saved it; in runs of earlier versions, the checkpoints of that run.
        step: Its step.
        sha256: Of its file, or of the manifest of its checkpoint, which has a checksum of each of its files.
    """

    directory: str
    step: int
    sha256: str


@dataclass(frozen=True)
class Origin:
    """The content of origin.json.

    Args:
        cpu_devices: How many devices a CPU was, on which the bits of sums depend; None for a run on accelerators.
        files: By the dotted key that names the file.
        weights: None for a run that began with weights of its own.
    """

    cpu_devices: int | None = None
    files: Mapping[str, DataFile] = field(default_factory=dict)
    weights: LoadedWeights | None = None


def read_origin(path: Path) -> Origin:
    """The origin that `write_origin` wrote; an empty one if there is none.

    Raises:
        RuntimeError: If the file holds something else.
        OSError: If it cannot be read.
    """
    try:
        record = json.loads(read_file(path))
        return Origin(
            record["cpu_devices"],
            {key: DataFile(**entry) for key, entry in record["files"].items()},
            None if record["weights"] is None else LoadedWeights(**record["weights"]),
        )
    except (FileNotFoundError, NotADirectoryError):
        return Origin()
    except (ValueError, TypeError, KeyError, AttributeError):
        raise RuntimeError(f"{path} was not written by a run; restore it from a copy") from None


def write_origin(path: Path, origin: Origin, require_held: Callable[[], object] = lambda: None) -> None:
    """Replaces the file. Only the process that holds the run's lock may call it.

    Args:
        path: The run's `origin_path`.
        origin: What the file is to hold.
        require_held: As in `write_durably`.

    Raises:
        OSError: If it cannot be written; then the file is what it was.
    """
    write_durably(path, json.dumps(asdict(origin), indent=1) + "\n", require_held)
