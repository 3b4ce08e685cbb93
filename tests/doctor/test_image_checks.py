import struct
from pathlib import Path

import pytest

from simplexity.cluster import Container
from simplexity.doctor import Severity
from simplexity.doctor._image_checks import check_image


def sif(path: Path, *, missing_bytes: int = 0) -> Path:
    """A file that begins as a SIF image does: magic word at byte 32, place and length of the data at byte 112."""
    head = b"#!/usr/bin/env run-singularity\n\0".ljust(32, b"\0") + b"SIF_MAGIC\0"
    head = head.ljust(112, b"\0") + struct.pack("<qq", 4096, 1000)
    path.write_bytes(head.ljust(5096 - missing_bytes, b"\0"))
    return path


def check(image: str, folder: Path, runtime="apptainer"):
    return check_image(Container(image=image, runtime=runtime, binds=[], env={}), "/usr/bin/python", folder)


def test_a_whole_image_by_a_relative_path(tmp_path):
    sif(tmp_path / "a.sif")
    result = check("a.sif", tmp_path)
    assert (result.severity, result.found) == (Severity.OK, f"{tmp_path}/a.sif (0 MB)")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "no such file or directory"),
        (lambda path: path.write_text("a text"), "not an Apptainer image (SIF)"),
        (lambda path: sif(path, missing_bytes=1), "shorter than it says"),
        (lambda path: path.write_bytes(sif(path).read_bytes()[:60]), "shorter than it says"),
    ],
)
def test_what_cannot_run(tmp_path, make, reason):
    make(tmp_path / "a.sif")
    result = check("a.sif", tmp_path)
    assert result.severity == Severity.PROBLEM
    assert result.found == f"{tmp_path}/a.sif: {reason}"
    assert "container.image" in result.change


def test_other_kinds(tmp_path):
    assert "sandbox" in check(str(tmp_path), Path("/")).found
    assert "only a test job" in check("simplexity:1", tmp_path, runtime="docker").meaning
    assert check_image(None, "/usr/bin/python", tmp_path).found == "no container: /usr/bin/python"
