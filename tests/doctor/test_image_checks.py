"""What doctor reports of an image; cluster/image.sh finds what is wrong with it (tests/cluster/test_container.py)."""

from pathlib import Path

import pytest

from simplexity.cluster import Container
from simplexity.doctor import Severity
from simplexity.doctor._image_checks import check_image
from tests.images import sif_header


def check(image: str, folder: Path, runtime="apptainer", **changes):
    container = Container(**{"image": image, "runtime": runtime, "binds": [], "env": {}, **changes})
    return check_image(container, "/usr/bin/python", folder)


def test_a_whole_image_by_a_relative_path(tmp_path):
    (tmp_path / "a.sif").write_bytes(sif_header())
    result = check("a.sif", tmp_path)
    assert (result.severity, result.found) == (Severity.OK, f"{tmp_path}/a.sif (0 MB)")


@pytest.mark.parametrize(
    ("content", "binds", "found", "change"),
    [
        (None, [], "there is no image {} on ", "containers/build.sh makes one"),
        (sif_header()[:-1], [], "{} is shorter than it says", "`container.image`"),
        (sif_header(architecture="99"), [], "{} is for ", "build the image on a machine of the same kind"),
        (sif_header(), ["/no/such"], "`binds`: /no/such does not exist", "correct the path"),
    ],
)
def test_what_cannot_run(tmp_path, content, binds, found, change):
    if content is not None:
        (tmp_path / "a.sif").write_bytes(content)
    result = check("a.sif", tmp_path, binds=binds)
    assert result.severity == Severity.PROBLEM
    assert result.found.startswith(found.format(tmp_path / "a.sif"))
    assert change in result.change


def test_other_kinds(tmp_path):
    (tmp_path / ".singularity.d").mkdir()
    (tmp_path / ".singularity.d" / "labels.json").write_text("{}")
    assert "sandbox" in check(str(tmp_path), Path("/")).found
    assert "only a test job" in check("simplexity:1", tmp_path, runtime="docker").meaning
    assert check_image(None, "/usr/bin/python", tmp_path).found == "no container: /usr/bin/python"
