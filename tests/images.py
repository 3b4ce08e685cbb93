"""One Apptainer image and one Dockerfile image per test run, whichever worker comes first builds them.

A build needs a root file system of Debian 13, the folder $SIMPLEXITY_TEST_BASE_IMAGE (debootstrap makes one). Who has
built this checkout's Apptainer image already names it in $SIMPLEXITY_TEST_IMAGE instead.
"""

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from simplexity import __version__

CHECKOUT = Path(__file__).resolve().parents[1]
BUILD_TIMEOUT_S = 540


def base_folder(program: str) -> str:
    """The base image's root file system, or a skip with the reason."""
    base = os.environ.get("SIMPLEXITY_TEST_BASE_IMAGE")
    if not base:
        pytest.skip("SIMPLEXITY_TEST_BASE_IMAGE names no folder with a Debian root file system to build on")
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    return base


def build_once(folder: Path, build: Callable[[], None]) -> None:
    """Runs the build in the first worker that comes; the others wait, and fail as it did."""
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "started").exists():
            (folder / "started").touch()
            build()
            (folder / "built").touch()
    if not (folder / "built").exists():
        pytest.fail("the image's build failed in another worker, see there")


def checked(*command: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def sif(shared_folder: Path) -> Path:
    """The SIF file of Apptainer.def, for the CPU."""
    if image := os.environ.get("SIMPLEXITY_TEST_IMAGE"):
        return Path(image)
    base = base_folder("apptainer")
    folder = shared_folder / "apptainer"
    image = folder / "simplexity.sif"

    def build() -> None:
        # Light compression: packing well takes longer than all the rest.
        own = {"APPTAINER_TMPDIR": str(folder), "APPTAINER_MKSQUASHFS_ARGS": "-comp gzip -Xcompression-level 1"}
        checked(
            str(CHECKOUT / "containers/build.sh"), "apptainer", "cpu", "bootstrap=localimage", f"base_image={base}",
            f"output={image}", environment=os.environ | own,
        )  # fmt: skip

    build_once(folder, build)
    return image


@pytest.fixture(scope="session")
def buildah(shared_folder: Path) -> Callable[..., str]:
    """Runs buildah on a store of its own, which holds the image `simplexity` of the Dockerfile."""
    base = base_folder("buildah")
    folder = shared_folder / "buildah"
    configuration = folder / "storage.conf"
    environment = os.environ | {
        "CONTAINERS_STORAGE_CONF": str(configuration),
        "BUILDAH_ISOLATION": "chroot",
        "TMPDIR": str(folder),
    }

    def call(*arguments: str) -> str:
        return checked("buildah", *arguments, environment=environment)

    def build() -> None:
        configuration.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/store"\nrunroot = "{folder}/run"\n')
        container = call("from", "scratch").strip()
        call("add", "--quiet", container, base, "/")
        call("commit", "--quiet", "--rm", container, "localhost/base")
        checked(
            str(CHECKOUT / "containers/build.sh"), "buildah", "cpu", "base_image=localhost/base",
            "output=localhost/simplexity", environment=environment,
        )  # fmt: skip

    build_once(folder, build)
    return call


def sif_header(*, architecture: str = "", version: str = "") -> bytes:
    """The beginning of a SIF file, as far as it is read before it is run: 128 bytes, and then its labels.

    Args:
        architecture: Code of the processor; empty for this machine's.
        version: Label with the version of simplexity; empty for this one's.
    """
    code = architecture or {"x86_64": "02", "aarch64": "04"}[os.uname().machine]
    head = b"#!/usr/bin/env run-singularity\n".ljust(32, b"\0") + b"SIF_MAGIC\0" + b"01\0" + code.encode() + b"\0"
    labels = f'"org.opencontainers.image.version":"{version or __version__}"'.encode()
    place_and_size = struct.pack("<qq", 128, len(labels))
    return head.ljust(112, b"\0") + place_and_size + labels
