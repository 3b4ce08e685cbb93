"""What `hydra/launcher=slurm` does with `cluster.container`, without a SLURM."""

import json

import pytest

from tests.images import sif_header

DRY = "hydra.launcher.dry_run=true"


def contained(image, **changes) -> list[str]:
    values = {"image": str(image), "runtime": "apptainer", "binds": "[]", "env": "{}", **changes}
    return ["cluster=dev", f"+cluster.container={{{','.join(f'{key}: {value}' for key, value in values.items())}}}"]


def test_a_containers_tasks_run_in_it_and_the_manifest_knows_the_image(start_on_slurm, tmp_path, capfd):
    (tmp_path / "a.sif").write_bytes(sif_header())
    assert start_on_slurm(DRY, "seed=1,2", *contained("a.sif", binds=f"['{tmp_path}']", env="{A: b}")) == 0
    script, manifest = capfd.readouterr().out.split("manifest.json\n")
    (task,) = [line for line in script.splitlines() if line.startswith("run_and_requeue srun")]
    assert " apptainer --quiet exec --pwd " in task
    assert f' {tmp_path}/a.sif python -P -m simplexity.cli resume "${{TASK[@]}}"' in task
    launch = json.loads(manifest.partition("# ")[0])["launch"]
    assert launch["profile"]["container"]["image"] == f"{tmp_path}/a.sif"
    assert launch["image_digest"].startswith("sha256:")
    assert launch["image_digest"] in script


def test_a_sweep_keeps_the_digest_of_its_image_whatever_else_the_command_changes(start_on_slurm, tmp_path, submitted):
    """So that an image which has changed is refused."""
    command = ("hydra.launcher.wait=false", "hydra.sweep.dir=here", "seed=1,2")
    new = sif_header() + b"new"
    for name, content, token in (("a.sif", sif_header(), 1), ("a.sif", new, 2), ("b.sif", new, 2)):
        (tmp_path / name).write_bytes(content)
        assert start_on_slurm(*command, *contained(name, env=f"{{TOKEN: '{token}'}}")) == 0
    first, changed, other = submitted
    assert changed.profile.container.env == {"TOKEN": "2"}
    assert changed.image_digest == first.image_digest
    assert other.image_digest not in (None, first.image_digest)


@pytest.mark.parametrize(
    ("content", "changes", "says"),
    [
        (None, {}, "`cluster.container`: there is no image /"),
        (b"no image", {}, "a.sif is not an Apptainer image (SIF)"),
        (sif_header(architecture="99"), {}, "a.sif is for an architecture that simplexity is not built for"),
        (sif_header(version="99.0"), {}, "has simplexity 99.0, and the sweep is composed by 0."),
        (sif_header(version="unknown"), {}, "has simplexity unknown"),
        (sif_header().replace(b"opencontainers", b"opencontained_"), {}, "does not say its version"),
        (sif_header(), {"binds": "[/nowhere/x]"}, "`cluster.container.binds`: /nowhere/x does not exist"),
        (sif_header(), {"binds": "[x]"}, "`cluster.container.binds`: must hold absolute paths"),
        (sif_header(), {"runtime": "runc"}, "`cluster.container.runtime`: must be"),
    ],
)
def test_a_container_that_no_task_could_start_is_refused_before_submission(
    start_on_slurm, tmp_path, capfd, content, changes, says
):
    if content is not None:
        (tmp_path / "a.sif").write_bytes(content)
    before = list(tmp_path.iterdir())
    assert start_on_slurm(DRY, *contained("a.sif", **changes)) == 2
    said = capfd.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == before


def test_a_sweep_in_a_folder_that_cannot_be_bound_is_refused(start_on_slurm, tmp_path, capfd):
    (tmp_path / "a.sif").write_bytes(sif_header())
    assert start_on_slurm(DRY, *contained("a.sif"), f"hydra.sweep.dir='{tmp_path}/../{tmp_path.name}/../a:b'") == 2
    assert "`hydra.sweep.dir`: must be without colons and commas" in capfd.readouterr().err


def test_in_an_image_that_sweep_sh_has_started_tasks_run_in_that_image(start_on_slurm, tmp_path, capfd, monkeypatch):
    from hydra_plugins.simplexity_launcher import _slurm_batch

    image = tmp_path / "a.sif"
    image.write_bytes(sif_header())
    monkeypatch.setenv("SIMPLEXITY_IMAGE", str(image))
    monkeypatch.setattr(_slurm_batch, "is_inside_image", lambda: True)
    assert start_on_slurm(DRY, "cluster=dev") == 0
    assert f" {image} python -P -m simplexity.cli resume" in capfd.readouterr().out
