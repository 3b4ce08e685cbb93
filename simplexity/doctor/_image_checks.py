"""Whether the image that a profile names can be one, as far as its file shows; a test job shows the rest."""

import struct
from pathlib import Path

from simplexity.cluster import Container

from ._check_result import CheckResult, ok, problem

# SIF: a launch line of 32 bytes, then the magic word; from byte 112 on where the data begin and how long they are.
_MAGIC_AT, _MAGIC = 32, b"SIF_MAGIC"
_DATA_AT = 112


def check_image(container: Container | None, python: str, folder: Path) -> CheckResult:
    """What the profile's runs execute in.

    Args:
        container: The profile's.
        python: The interpreter of this process, in which runs without a container execute.
        folder: The folder that a relative path of an image starts from.
    """
    if container is None:
        return ok("software", f"no container: {python}", "Runs execute in this environment; every node must see it.")
    if not container.is_file:
        return ok(
            "image", f"{container.image} ({container.runtime})",
            "Each node has a store of images of its own: only a test job shows whether it is there.",
        )  # fmt: skip
    path = folder / container.image
    if path.is_dir():
        return ok("image", f"{path} (a sandbox folder)", "Runs execute in it; every node must see the folder.")
    try:
        reason = _defect(path)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
    if reason:
        return problem(
            "image", f"{path}: {reason}", "No run could start.",
            "build it (containers/build.sh apptainer), or correct `container.image`",
        )  # fmt: skip
    size_mb = path.stat().st_size / 1e6
    return ok("image", f"{path} ({size_mb:,.0f} MB)", "Runs execute in it; every node must see the file.")


def _defect(path: Path) -> str:
    """Why a file is no whole SIF image; empty if it is one."""
    with open(path, "rb") as file:
        head = file.read(_DATA_AT + 16)
    if head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC:
        return "not an Apptainer image (SIF)"
    if len(head) < _DATA_AT + 16 or path.stat().st_size < sum(struct.unpack_from("<qq", head, _DATA_AT)):
        return "shorter than it says"
    return ""
