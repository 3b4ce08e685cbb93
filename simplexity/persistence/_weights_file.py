"""Weights alone, in one safetensors file: the same bytes whichever process wrote them, and verified when read."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import PyTree

from simplexity.runs import read_file, write_durably

from ._leaves import HostArrays, check_same_leaves, describe_raw_leaves, fill
from ._manifest import Leaf

ModelT = TypeVar("ModelT")

_DTYPES = {
    "BOOL": "bool", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "U8": "uint8", "U16": "uint16",
    "U32": "uint32", "U64": "uint64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip
_NO_DIGEST = b"0" * 64
# The same limit as in the safetensors library.
_LONGEST_HEADER = 100_000_000


def write_weights(
    path: Path,
    arrays: HostArrays,
    step: int,
    model_config: object,
    *,
    metadata: Mapping[str, str] | None = None,
    require_held: Callable[[], object] = lambda: None,
    syncs_name: bool = True,
) -> None:
    """Replaces `path` by a safetensors file, in one step, and returns once it is on disk.

    Args:
        path: The file.
        arrays: The weights by name, as `copy_to_host` gives them.
        step: The number of training steps, as the file's metadata have it under `step`.
        model_config: What the model was built from, in values that JSON has; in the metadata under `model`.
        metadata: More of them.
        require_held: As in `write_durably`.
        syncs_name: As in `write_durably`.

    Raises:
        OSError: If it cannot be written; what was there is unchanged.
    """
    described = {"step": str(step), "model": json.dumps(model_config), **(metadata or {})}
    write_arrays(path, arrays, described, require_held, syncs_name)


def read_weights(path: Path, like_model: ModelT) -> ModelT:
    """The model whose weights a file holds.

    Args:
        path: A file of `write_weights`.
        like_model: A model of the same structure, whose arrays are to be replaced; shapes may stand for them.

    Raises:
        ValueError: If it is another model's.
        RuntimeError: If it is corrupt.
        OSError: If it cannot be read.
    """
    _, arrays = read_arrays(path)
    _check(path, arrays, like_model)
    return fill(like_model, arrays)


def check_weights_file(path: Path, like_model: PyTree) -> None:
    """Checks that `read_weights` would find such a model; raises as it does."""
    _check(path, read_arrays(path)[1], like_model)


def _check(path: Path, arrays: HostArrays, like_model: PyTree) -> None:
    saved = {name: Leaf(array.shape, str(array.dtype), None) for name, array in arrays.items()}
    check_same_leaves(saved, describe_raw_leaves(like_model), f"`{path}`")


def write_arrays(
    path: Path,
    arrays: HostArrays,
    metadata: Mapping[str, str],
    require_held: Callable[[], object] = lambda: None,
    syncs_name: bool = True,
) -> None:
    """Replaces `path` by a safetensors file with a checksum among its metadata; see `write_weights`."""
    write_durably(path, _encode(arrays, metadata), require_held, syncs_name=syncs_name)


def read_arrays(path: Path) -> tuple[dict[str, str], HostArrays]:
    """The metadata and the arrays of a file of `write_arrays`.

    Raises:
        RuntimeError: If it is corrupt.
        OSError: If it cannot be read.
    """
    content = read_file(path)
    try:
        header, _ = _split(content)
        metadata = header["__metadata__"]
        digest = metadata["sha256"].encode()
        is_valid = _digest(content.replace(digest, _NO_DIGEST, 1)) == digest
    except (ValueError, LookupError, TypeError, AttributeError):
        is_valid = False
    if not is_valid:
        raise _corrupt(path)
    # A view needs no copy, and unlike `numpy.frombuffer` it may be empty.
    arrays = {
        name: np.ndarray(leaf["shape"], jnp.dtype(_DTYPES[leaf["dtype"]]), leaf["data"])
        for name, leaf in safetensors.deserialize(content)
    }
    return metadata, arrays


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata alone, which are not verified: for a look at thousands of files.

    Raises:
        RuntimeError: If there are none.
        OSError: If the file cannot be read.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, _LONGEST_HEADER))
    try:
        return json.loads(header)["__metadata__"]
    except (ValueError, LookupError, TypeError):
        raise _corrupt(path) from None


def _corrupt(path: Path) -> RuntimeError:
    return RuntimeError(f"`{path}` is corrupt: it is not, byte for byte, what was written")


def _encode(arrays: HostArrays, metadata: Mapping[str, str]) -> bytes:
    """A safetensors file: eight bytes with the length of a JSON header, the header, the arrays.

    The library writes the metadata in an order that differs from process to process. So they are put in here. The
    first of them is the SHA-256 of the file as it is with zeros in that place.
    """
    header, data = _split(safetensors.numpy.save(arrays))
    described = {"sha256": _NO_DIGEST.decode()} | dict(metadata)
    text = json.dumps({"__metadata__": described} | header).encode()
    text += b" " * (-len(text) % 8)  # the arrays begin at a multiple of eight
    content = len(text).to_bytes(8, "little") + text + data
    return content.replace(_NO_DIGEST, _digest(content), 1)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _split(content: bytes) -> tuple[dict[str, Any], bytes]:
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), content[start:]
