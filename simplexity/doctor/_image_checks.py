"""Whether the image that a profile names can be one, as far as its file shows; a test job shows the rest."""

from dataclasses import replace
from pathlib import Path

from simplexity.cluster import Container, inspect_container

from ._check_result import CheckResult, ok, problem


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
    try:
        inspect_container(replace(container, image=str(path)))
    except (ValueError, RuntimeError) as error:
        found, _, remedy = str(error).partition("; ")
        remedy = remedy or "build it (containers/build.sh apptainer), or correct `container.image`"
        return problem("image", found, "No run could start.", remedy)
    if path.is_dir():
        return ok("image", f"{path} (a sandbox folder)", "Runs execute in it; every node must see the folder.")
    size_mb = path.stat().st_size / 1e6
    return ok("image", f"{path} ({size_mb:,.0f} MB)", "Runs execute in it; every node must see the file.")
