"""The dependencies of the CUDA images are pinned, even where no such image is built."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
# One environment can hold both; each has libraries of its own.
EXTRAS = "cuda12,cuda13"


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def assert_pinned(constraints: str, python: list[str], report: Path) -> None:
    """What pip would install into an empty environment is what the file of constraints names."""
    lines = (CHECKOUT / constraints).read_text().splitlines()
    pinned = {normalised(line.partition("==")[0]) for line in lines if "==" in line}
    subprocess.run(
        [*python, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", str(report),
         "--constraint", str(CHECKOUT / constraints), f"{CHECKOUT}[{EXTRAS}]"],
        check=True,
        timeout=500,
    )  # fmt: skip
    resolved = {normalised(entry["metadata"]["name"]) for entry in json.loads(report.read_text())["install"]}
    assert {"jax-cuda12-plugin", "jax-cuda13-plugin"} <= resolved
    assert resolved - {"simplexity"} <= pinned


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="constraints.txt is for Python 3.11")
def test_everything_that_cuda_needs_at_the_oldest_versions_resolves_and_is_pinned(tmp_path: Path):
    assert_pinned("constraints.txt", [sys.executable], tmp_path / "report.json")


@pytest.mark.container
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_everything_that_cuda_needs_in_the_image_resolves_and_is_pinned(sif: Path, tmp_path: Path):
    binds = f"{CHECKOUT},{tmp_path}"
    python = ["apptainer", "--quiet", "exec", "--bind", binds, str(sif), "python"]
    assert_pinned("constraints-newest.txt", python, tmp_path / "report.json")
