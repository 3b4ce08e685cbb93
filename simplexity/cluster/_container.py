"""A command as it stands in a batch script, moved into a container."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ._host_programs import call_image_check
from ._profile import ClusterProfile, Container

_TIMEOUT_S = 60.0
# What Apptainer passes on by itself: which job and which of its processes a run is, and what its script has set for it.
_PASSED = (
    "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT", "SLURM_CLUSTER_NAME",
    "SLURMD_NODENAME", "SLURM_STEP_ID", "SLURM_STEP_NODELIST", "SLURM_STEP_NUM_NODES", "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_TASKS_PER_NODE", "SLURM_LAUNCH_NODE_IPADDR", "SLURM_NODEID", "SLURM_PROCID", "SLURM_LOCALID",
    "PYTHONUNBUFFERED", "SIMPLEXITY_SUBMISSION", "SIMPLEXITY_JOB_START", "SIMPLEXITY_TIME_LIMIT_S",
    "SIMPLEXITY_SIGNAL_LEAD_S", "CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_MEM_FRACTION",
)  # fmt: skip


class ImageFacts(NamedTuple):
    """What is known of an image that nothing has run yet.

    Attributes:
        digest: Names just this image; None where it cannot be known here.
        version: Of simplexity in it; None if its labels do not have it.
    """

    digest: str | None
    version: str | None


def inspect_container(container: Container) -> ImageFacts:
    """Checks what can be known of a container where its tasks are submitted.

    Raises:
        ValueError: If there is no such image, it is none, it is for other processors, or a bind does not exist.
        RuntimeError: If it cannot be looked at.
    """
    words = _check("inspect_container", container.runtime, container.image, *container.binds).split(" ")
    return ImageFacts(*(word or None for word in words))


def container_command(profile: ClusterProfile, inside: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Command and arguments that execute `inside` in the profile's container.

    Args:
        profile: With a container.
        inside: Command and arguments.
        folders: Absolute paths to see inside under the same names; the first is the current folder.

    Raises:
        ValueError: If a folder has a name that no runtime can bind.
    """
    container = profile.container
    assert container is not None
    for folder in folders:
        # Every runtime separates by the one, and Apptainer by the other.
        if any(character in str(folder) for character in ":,"):
            raise ValueError(f"must be without colons and commas, which no container runtime can bind, got {folder}")
    outer = [folder for folder in folders if folder == folders[0] or not folder.is_relative_to(folders[0])]
    binds = [*(f"{folder}:{folder}" for folder in [*outer, *profile_folders(profile)]), *container.binds]
    if container.is_file:
        options = [part for bind in binds for part in ("--bind", bind)]
        gpu = ["--nv"] if profile.wants_gpu else []
        # Not --cleanenv nor --containall, which drop SLURM_*. The variables of `container_exports` come with it.
        return [
            container.runtime, "--quiet", "exec", "--pwd", str(folders[0]), *gpu, *options, container.image, *inside,
        ]  # fmt: skip
    options = [part for bind in binds for part in ("--volume", bind)]
    options += [f"--env={name}" for name in (*_PASSED, *_set_by(profile))]
    options += [f"--env={name}={value}" for name, value in container.env.items()]
    if profile.num_processes > 1:
        # They find each other by the host's addresses, which are Apptainer's too.
        options.append("--network=host")
    if container.runtime == "podman":
        options += ["--userns=keep-id"] if os.getuid() != 0 else []
        gpu = ["--device=nvidia.com/gpu=all"]
    else:
        gpu = ["--gpus=all"]
    # --init: a program with process id 1 ignores the signals that it has no handler for.
    return [
        container.runtime, "run", "--rm", "--init", f"--user={os.getuid()}:{os.getgid()}", "--entrypoint=",
        "--workdir", str(folders[0]), *(gpu if profile.wants_gpu else []), *options, container.image, *inside,
    ]  # fmt: skip


def container_exports(container: Container) -> dict[str, str]:
    """Variables of the host through which the container's own are set: of any value, unlike Apptainer's --env."""
    if not container.is_file:
        return {}
    return {f"{container.runtime.upper()}ENV_{name}": value for name, value in container.env.items()}


def profile_folders(profile: ClusterProfile) -> list[str]:
    """Folders of the profile that every task needs, and makes if they are missing."""
    return [folder for folder in (profile.scratch_folder, profile.cache_folder) if folder is not None]


def _set_by(profile: ClusterProfile) -> list[str]:
    names = list(profile.environment)
    names += ["SIMPLEXITY_CACHE"] if profile.cache_folder is not None else []
    return names + (["TMPDIR"] if profile.scratch_folder is not None else [])


def _check(*words: str) -> str:
    try:
        answer = call_image_check(words, timeout_s=_TIMEOUT_S)
    except FileNotFoundError as error:
        raise RuntimeError(f"there is no `{error.args[0]}` here to look at the image with") from None
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the image {words[2]} was not read within {_TIMEOUT_S:g} s") from None
    except ConnectionError as error:
        raise RuntimeError(f"the image {words[2]} cannot be looked at: {error}") from None
    if answer.returncode != 0:
        raise ValueError(" ".join(answer.stderr.split()) or f"the image {words[2]} cannot be looked at")
    return answer.stdout.strip("\n")
