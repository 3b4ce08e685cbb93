"""`simplexity doctor` where there is no SLURM; tests/slurm has it where there is one."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from simplexity.cli import main


@pytest.fixture(autouse=True)
def _without_slurm(tmp_path, tmp_path_factory, monkeypatch):
    """An empty folder as the site's, and no program but bash."""
    programs = tmp_path_factory.mktemp("programs")
    (programs / "bash").symlink_to(shutil.which("bash"))
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.chdir(tmp_path)


def test_one_line_says_so_and_names_what_works_without(tmp_path, capfd):
    assert main(["doctor", "cluster=dev"]) == 1
    lines = capfd.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("problem: ")]
    assert "there is no `sbatch` here" in line
    for remedy in ("slurm/dev-cluster up", "hydra.launcher.dry_run=true", "hydra/launcher=local"):
        assert remedy in line
    assert lines[0] == "cluster=dev"
    assert [line.split(":")[1].strip() for line in lines[2:-1]] == ["folder", "software", "signal lead"]
    assert os.listdir(tmp_path) == []


def test_the_profile_is_the_launchers_default(capfd):
    main(["doctor"])
    assert capfd.readouterr().out.startswith("cluster=gpu, by default; cluster=NAME chooses another\n")


def test_the_site_s_profile_with_a_missing_image(tmp_path, capfd):
    (tmp_path / "configs" / "cluster").mkdir(parents=True)
    (tmp_path / "configs" / "cluster" / "mine.yaml").write_text(
        "defaults: [gpu, _self_]\ncontainer: {image: a.sif, runtime: apptainer, binds: [], env: {}}\n"
        "cache_folder: cache\nsignal_lead_s: 90\n"
    )
    assert main(["doctor", "cluster=mine", "hydra.sweep.dir='data/a ü'"]) == 1
    out = capfd.readouterr().out
    assert f"problem: image: there is no image {tmp_path}/a.sif on " in out
    assert f"ok: folder: {tmp_path}/data/a ü (" in out
    assert f"ok: cache folder: {tmp_path}/cache (" in out
    assert "signal_lead_s=90" in out
    assert os.listdir(tmp_path) == ["configs"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cluster=dve"], "`cluster`: there is no 'dve'; did you mean `dev`?"),
        (["clustr=dev"], "`clustr`: unknown key"),
        (["cluster=dev", "cluster.cpus_per_task=0"], "`cluster.cpus_per_task`: must be at least 1, got 0"),
        (["cluster=dev", "--runs", "nowhere"], "`--runs`: there is no folder nowhere"),
        (["cluster=dev", "--wait", "0"], "`--wait` must be a number of minutes above 0, got 0"),
        (["--wait", "nan"], "`--wait` must be a number of minutes above 0, got nan"),
    ],
)
def test_mistakes_are_one_line(arguments, message, capfd):
    assert main(["doctor", *arguments]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert re.fullmatch(f"simplexity: {re.escape(message)}.*\n", captured.err)


def test_it_never_imports_jax(tmp_path):
    code = "import sys; from simplexity.cli import main; main(['doctor', 'cluster=dev']); print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "False", done.stderr
