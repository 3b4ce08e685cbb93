"""A run's environment variables, and the modules beside its configs: set, remembered, and found again."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.running.program import ROOT, python


def test_environment_variables_of_the_config_are_set_and_remembered(start, body, monkeypatch):
    from simplexity.composition import restore_surroundings

    monkeypatch.setenv("SIMPLEXITY_TEST", "before")
    seen = []
    body.fail = lambda config: seen.append(os.environ["SIMPLEXITY_TEST"])
    for arguments in ([], ["--multirun", "hydra/launcher=basic"]):
        assert start("+hydra.job.env_set.SIMPLEXITY_TEST=a b", *arguments) == 0
        monkeypatch.setenv("SIMPLEXITY_TEST", "before")
        restore_surroundings(body.run_dirs[-1])
        assert os.environ["SIMPLEXITY_TEST"] == "a b"
    assert seen == ["a b", "a b"]


@pytest.mark.slow
def test_environment_variables_are_set_before_jax_reads_them(site):
    program = (
        "import sys; sys.argv[1:] = ['+hydra.job.env_set.JAX_PLATFORMS=nosuch']\n"
        f"import runpy; runpy.run_path({str(ROOT / 'simplexity/run_experiment.py')!r}, run_name='__main__')"
    )
    done = python(site, "-c", program)
    assert done.returncode == 1
    assert done.stderr.startswith("JAX_PLATFORMS=nosuch, which jax cannot use here")


def test_environment_variables_for_the_tasks_of_a_step_are_refused(start, monkeypatch, capfd):
    from simplexity.running import _start

    monkeypatch.setattr(_start, "step_tasks", lambda: "several")
    assert start("+hydra.job.env_set.A=b") == 2
    assert "`hydra.job.env_set`: comes too late" in capfd.readouterr().err


def test_a_module_beside_the_sites_configs_can_be_named_and_is_found_again(start, body, site, monkeypatch):
    from simplexity.composition import restore_surroundings

    logger = "from simplexity.loggers import PrintLogger\n\ndef logger(p):\n    return PrintLogger(p)\n"
    (site.parent / "site/beside_the_configs.py").write_text(logger)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(site.parent / "site")])
    assert start("logging.instance={_target_: beside_the_configs.logger, p: 3}", "logging=none") == 0
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(site.parent / "site")])
    monkeypatch.delenv("SIMPLEXITY_CONFIGS")
    restore_surroundings(body.run_dirs[0])
    first = sys.path.index(str(site.parent / "site"))
    assert sys.path[first + 1] == str(site / "configs")


@pytest.mark.parametrize("now", ["moved", "current/configs"])
def test_a_module_is_found_again_where_the_folder_of_configs_has_been_moved_to(start, body, site, monkeypatch, now):
    from simplexity.composition import restore_surroundings

    before = site.parent / "site"
    (before / "moved_module.py").touch()
    assert start() == 0
    before.rename(site.parent / now)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(before)])
    if now == "moved":
        monkeypatch.setenv("SIMPLEXITY_CONFIGS", str(site.parent / now))
    else:
        monkeypatch.delenv("SIMPLEXITY_CONFIGS")
    assert importlib.util.find_spec("moved_module") is None
    restore_surroundings(body.run_dirs[0])
    spec = importlib.util.find_spec("moved_module")
    assert spec is not None
    assert spec.origin == str(site.parent / now / "moved_module.py")


def test_each_of_two_runs_finds_its_own_modules_before_those_of_today_and_of_the_other(start, body, site, monkeypatch):
    from simplexity.composition import restore_surroundings

    folders = [site.parent / "site", site.parent / "another"]
    shutil.copytree(*folders)
    for folder in folders:
        monkeypatch.setenv("SIMPLEXITY_CONFIGS", str(folder))
        assert start() == 0
    today = site / "configs"
    today.mkdir()
    monkeypatch.delenv("SIMPLEXITY_CONFIGS")
    for folder in (*folders, today):
        (folder / "own_module.py").touch()
    monkeypatch.setattr(sys, "path", [path for path in sys.path if Path(path) not in folders])
    for run_dir, folder in zip(body.run_dirs, folders, strict=True):
        restore_surroundings(run_dir)
        importlib.invalidate_caches()
        spec = importlib.util.find_spec("own_module")
        assert spec is not None
        assert spec.origin == str(folder / "own_module.py")
