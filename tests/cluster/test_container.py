"""The command that moves a task into a container, and what is found out about an image before anything runs in it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from simplexity import __version__
from simplexity.cluster import ArraySlice, ClusterProfile, Container, batch_script, container_command, inspect_container
from tests.cluster.test_batch_script import PROFILE
from tests.images import sif_header

INSIDE = ["python", "-m", "simplexity.cli"]


def container(image="/data/a.sif", runtime="apptainer", **changes) -> Container:
    return Container(**{"image": str(image), "runtime": runtime, "binds": [], "env": {}, **changes})


def profile(**changes) -> ClusterProfile:
    return ClusterProfile(**{**PROFILE, **changes})


def command(the_container: Container, *folders: str, **changes) -> list[str]:
    changed = profile(container=the_container, **changes)
    return container_command(changed, INSIDE, [Path(folder) for folder in folders or ("/study",)])


def script(the_container: Container, digest: str | None = None, **changes) -> str:
    return batch_script(
        job_name="x", task_command=["true"], sweep_folder=Path("/s"), script_path=Path("/s/a.sh"),
        working_folder=Path("/"), array=ArraySlice(0, (0,)), parallelism=None, image_digest=digest,
        profile=profile(container=the_container, nodes=1, tasks_per_node=1, setup=[], **changes),
    )  # fmt: skip


def test_apptainer_sees_the_folders_of_study_sweep_and_profile():
    words = command(container(binds=["/projects:/p:ro"]), "/study", "/study/multirun/it", "/elsewhere")
    assert words[:5] == ["apptainer", "--quiet", "exec", "--pwd", "/study"]
    assert words[-4:] == ["/data/a.sif", *INSIDE]
    bound = [words[i + 1] for i, word in enumerate(words) if word == "--bind"]
    assert bound == [
        "/study:/study", "/elsewhere:/elsewhere", "/scratch/me:/scratch/me", "/shared/a cache:/shared/a cache",
        "/projects:/p:ro",
    ]  # fmt: skip


@pytest.mark.parametrize("runtime", ["apptainer", "docker", "podman"])
@pytest.mark.parametrize(("wanted", "has"), [({"gpus_per_node": 1}, True), ({"gpus_per_node": None}, False)])
def test_a_gpu_comes_with_a_job_that_asks_for_one(runtime, wanted, has):
    option = {"apptainer": "--nv", "docker": "--gpus=all", "podman": "--device=nvidia.com/gpu=all"}[runtime]
    assert (option in command(container(runtime=runtime), **wanted)) == has


def test_docker_keeps_the_user_hands_on_variables_and_signals():
    words = command(container("simplexity:1", "docker", env={"A": "it's, 1"}), environment={"JAX_PLATFORMS": "cpu"})
    for word in ("--init", "--rm", f"--user={os.getuid()}:{os.getgid()}", "--env=A=it's, 1", "--env=JAX_PLATFORMS"):
        assert word in words
    for passed in ("--env=SLURM_ARRAY_TASK_ID", "--env=SLURM_RESTART_COUNT", "--env=SIMPLEXITY_CACHE", "--env=TMPDIR"):
        assert passed in words


@pytest.mark.parametrize(("tasks", "has"), [(1, False), (2, True)])
def test_several_processes_meet_on_the_hosts_network(tasks, has):
    words = command(container("simplexity:1", "docker"), nodes=1, tasks_per_node=tasks)
    assert ("--network=host" in words) == has


@pytest.mark.parametrize("folder", ["/a:b", "/a,b"])
def test_a_folder_that_cannot_be_bound_is_refused(folder):
    with pytest.raises(ValueError, match=f"without colons and commas.*got {folder}"):
        command(container(), "/study", folder)


def test_a_batch_script_looks_at_the_container_before_srun():
    text = script(container(binds=["/p"], env={"ODD": "a, $b"}), "sha256:1")
    assert "export APPTAINERENV_ODD='a, $b'\n" in text
    assert "\nmkdir -p /scratch/me '/shared/a cache' || exit\n" in text
    assert text.index("\nrequire_container apptainer /data/a.sif sha256:1 /p\n") < text.index("\nrun_and_requeue srun")
    assert subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True).stderr == ""


def test_without_a_container_it_says_nothing_of_one():
    text = batch_script(
        job_name="x", task_command=["true"], sweep_folder=Path("/s"), script_path=Path("/s/a.sh"),
        working_folder=Path("/"), array=ArraySlice(0, (0,)), parallelism=None, profile=profile(),
    )  # fmt: skip
    assert "require_container" not in text
    assert "apptainer" not in text


def test_an_image_has_a_version_and_a_digest_which_a_copy_keeps(tmp_path):
    image = tmp_path / "an image.sif"
    image.write_bytes(sif_header())
    digest, version = inspect_container(container(image))
    assert version == __version__
    assert re.fullmatch("sha256:[0-9a-f]{64}", digest)
    copy = image.rename(tmp_path / "elsewhere.sif")
    assert inspect_container(container(copy)).digest == digest
    copy.write_bytes(sif_header() + b"more")
    assert inspect_container(container(copy)).digest not in (digest, None)


def test_a_sandbox_folder_is_an_image(tmp_path):
    (tmp_path / ".singularity.d").mkdir()
    labels = tmp_path / ".singularity.d/labels.json"
    labels.write_text('{\n\t"org.opencontainers.image.version": "7.1"\n}')
    first = inspect_container(container(tmp_path))
    assert first.version == "7.1"
    labels.write_text('{\n\t"org.opencontainers.image.version": "7.1", "date": "later"\n}')
    assert inspect_container(container(tmp_path)).digest != first.digest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no image .*containers/build.sh makes one"),
        (b"", "is not an Apptainer image"),
        (b"plain text", "is not an Apptainer image"),
        (sif_header(architecture="99"), "is for an architecture that simplexity is not built for"),
        (sif_header()[:-1], "is shorter than it says: is the copy whole?"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.sif").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        inspect_container(container(tmp_path / "a.sif"))
    assert "\n" not in str(caught.value)


def test_a_bind_that_does_not_exist_is_told(tmp_path):
    (tmp_path / "a.sif").write_bytes(sif_header())
    with pytest.raises(ValueError, match=r"`binds`: /nowhere/x does not exist on .*; create it"):
        inspect_container(container(tmp_path / "a.sif", binds=[f"{tmp_path}:/data", "/nowhere/x:/data:ro"]))


def test_a_store_that_only_nodes_have_is_not_asked(tmp_path, monkeypatch):
    for program in ("bash", "sed", "uname"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert inspect_container(container("simplexity:1", "podman")) == (None, None)


@pytest.fixture
def on_node(tmp_path, monkeypatch):
    """Starts the batch script's check on a node with this much free space; returns its exit code and its last line."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in (
        "bash",
        "cut",
        "date",
        "dd",
        "du",
        "head",
        "mkdir",
        "od",
        "rm",
        "sed",
        "sha256sum",
        "stat",
        "tail",
        "tr",
        "uname",
    ):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    (tmp_path / "a.sif").write_bytes(sif_header())
    environment = {"PATH": str(programs), "APPTAINER_TMPDIR": str(tmp_path)}

    def run(digest: str | None, free_mb: int = 100_000, binds=(), **changes) -> tuple[int, str]:
        for name, text in (("df", f"echo Avail; echo {free_mb}"), ("apptainer", f"echo {tmp_path}/nowhere")):
            (programs / name).write_text(f"#!/usr/bin/bash\n{text}\n")
            (programs / name).chmod(0o755)
        text = script(container(tmp_path / "a.sif", binds=binds), digest, scratch_folder=None, cache_folder=None)
        check = text[: text.index("shield_mount /s/programs")].replace('exec >>"$LOG', ': "$LOG')
        check = check.replace("SWEEP=/s", f"SWEEP={tmp_path}")
        if changes.get("without_apptainer"):
            (programs / "apptainer").unlink()
        done = subprocess.run(
            ["/usr/bin/bash", "-c", check],
            env=environment | {"SLURM_ARRAY_TASK_ID": "0"},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stderr

    return run


def test_a_node_takes_the_image_that_was_submitted_and_no_other(on_node, tmp_path):
    digest = inspect_container(container(tmp_path / "a.sif")).digest
    assert on_node(digest) == (0, "")
    (tmp_path / "a.sif").write_bytes(sif_header() + b"rebuilt")
    code, said = on_node(digest)
    assert (code, said.count("\n")) == (2, 1)
    assert "is not the image that this sweep was submitted with" in said
    assert "simplexity retry --changed-image" in said
    assert on_node(None) == (0, "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"binds": ["/nowhere/x"]}, "`binds`: /nowhere/x does not exist"),
        ({"free_mb": 1}, "must unpack .* and .* has 1 MB free of about 4 MB; set APPTAINER_TMPDIR to a larger disk"),
        ({"without_apptainer": True}, "apptainer is not installed on .*: is a line of `cluster.setup` missing?"),
    ],
)
def test_a_node_that_cannot_run_it_says_so_in_one_line(on_node, changes, message):
    code, said = on_node(None, **changes)
    assert (code, said.count("\n")) == (2, 1)
    assert re.search(message, said)


@pytest.mark.parametrize(("mode", "code"), [(None, 0), (0o700, 0), (0o755, 0), (0o775, 2), (0o777, 2)])
def test_a_folder_that_others_may_write_never_comes_first_in_path(tmp_path, mode, code):
    folder = tmp_path / "cache" / "programs"
    if mode is not None:
        folder.mkdir(parents=True)
        folder.chmod(mode)
    checks = Path(__file__).parents[2] / "simplexity/cluster/image.sh"
    script = f'die() {{ echo "$*"; exit 2; }}\nset -euo pipefail\nsource {checks}\nshield_mount {folder}\necho "$PATH"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "")
    if code == 0:
        assert done.stdout.startswith(f"{folder}:")
    else:
        assert f"others may write {folder}" in done.stdout
