"""What containers/run.sh and build.sh refuse: in one line and before any work."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.images import sif_header

CONTAINERS = Path(__file__).resolve().parents[2] / "containers"


def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(cwd)}
    return subprocess.run(
        [str(CONTAINERS / script), *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )


def assert_refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which image?"),
        (["--frobnicate", "image.sif"], "unknown option `--frobnicate`"),
        (["missing.sif"], "there is no image missing.sif"),
        (["/nowhere/image"], "there is no image /nowhere/image"),
        (["docker://debian"], "apptainer pull"),
        (["no-such-image-by-name"], "neither podman nor docker has an image of that name"),
        (["--bind", "/nowhere/data", "image.sif"], "/nowhere/data does not exist"),
        (["--bind", "/nowhere/data:/data:ro", "image.sif"], "/nowhere/data does not exist"),
        (["image.sif", "hydra.run.dir=/tmp/a:b"], "has a colon or a comma"),
    ],
)
def test_run_refuses_in_one_line(tmp_path: Path, arguments: list[str], words: str):
    assert_refused(run("run.sh", *arguments, cwd=tmp_path), words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"plain text", "is not an Apptainer image"),
        (b"", "is not an Apptainer image"),
        (
            sif_header(architecture={"x86_64": "04", "aarch64": "02"}[os.uname().machine]),
            "build the image on a machine",
        ),
        (sif_header(architecture="99"), "is for an architecture that simplexity is not built for"),
        (sif_header()[:-1], "is shorter than it says: is the copy whole?"),
    ],
)
def test_run_refuses_a_file_that_cannot_run_here(tmp_path: Path, content: bytes, words: str):
    (tmp_path / "image.sif").write_bytes(content)
    assert_refused(run("run.sh", "./image.sif", cwd=tmp_path), words)


@pytest.mark.skipif(shutil.which("apptainer") is None, reason="apptainer is not installed")
def test_run_refuses_an_image_of_another_version(tmp_path: Path):
    (tmp_path / "image.sif").write_bytes(sif_header(version="99.0"))
    assert_refused(run("run.sh", "image.sif", cwd=tmp_path), "has simplexity 99.0 and this checkout is ")


def test_run_refuses_a_folder_that_is_no_sandbox(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    assert_refused(run("run.sh", "./folder", cwd=tmp_path), "is a folder and not an image")


@pytest.mark.parametrize("argument", ["cuda11", "accelerator=cpu", "output="])
def test_build_refuses_what_it_does_not_know(tmp_path: Path, argument: str):
    assert_refused(run("build.sh", argument, cwd=tmp_path), f"`{argument}` is none of")


def test_the_recipe_cleans_nothing_that_the_host_may_have_bound():
    """Apptainer binds the host's /tmp and /var/tmp into a build, so what the recipe removes there the host loses."""
    for recipe in (CONTAINERS / "install.sh", CONTAINERS / "Dockerfile", CONTAINERS.parent / "Apptainer.def"):
        removed = [line.split("rm -rf", 1)[1].split() for line in recipe.read_text().splitlines() if "rm -rf" in line]
        targets = {word for words in removed for word in words if word.startswith(("/", "$", '"', "~"))}
        assert targets <= {"/var/lib/apt/lists/*", "/usr/local/src/simplexity"}
