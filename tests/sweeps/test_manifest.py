import stat
from dataclasses import replace

import pytest

from simplexity.cluster import Container
from simplexity.sweeps import LocalLaunch, SweepRun

HOSTILE = "key=\"a b'c $HOME `id` \\n\nü \ud800 ::%"


def run(index, config_hash="a", directory=None, overrides=()):
    return SweepRun(index, tuple(overrides), config_hash, directory or str(index), 20)


@pytest.fixture
def manifest(make_sweep):
    return replace(make_sweep({}).read_manifest(), runs=(run(0), run(1)))


@pytest.mark.parametrize("container", [None, Container(image="i.sif", runtime="apptainer", binds=["/a"], env={})])
def test_any_text_survives(make_sweep, slurm_launch, container):
    sweep = make_sweep({}, launch=slurm_launch(container=container, setup=[HOSTILE]))
    manifest = replace(sweep.read_manifest(), runs=(run(0, overrides=[HOSTILE]),), working_folder=HOSTILE)
    sweep.write_manifest(manifest)
    assert sweep.read_manifest() == manifest


def test_values_of_variables_are_for_the_sweeps_owner_alone(make_sweep, slurm_launch):
    container = Container(image="i.sif", runtime="apptainer", binds=[], env={"KEY": "secret1"})
    launch = slurm_launch(container=container, environment={"TOKEN": "secret2"})
    sweep = make_sweep({}, launch=launch)
    assert sweep.read_manifest().launch == launch
    text = sweep.manifest_path.read_text()
    assert "TOKEN" in text
    assert "secret" not in text
    assert stat.S_IMODE(sweep.environment_path.stat().st_mode) == 0o600
    # A colleague who may not read them still sees how the sweep stands; without them nothing is started again.
    sweep.environment_path.unlink()
    assert sweep.read_manifest().run(0).index == 0
    with pytest.raises(RuntimeError, match=r"environment\.json is gone"):
        sweep.require_own()


def test_later_runs_join_and_the_same_ones_stay_once(manifest):
    extended = manifest.extended([run(1), run(2)])
    assert [one.index for one in extended.runs] == [0, 1, 2]
    assert extended.extended([run(2)]) == extended


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (run(1, config_hash="b"), "run 1 with another config"),
        (run(1, directory="elsewhere"), "run 1 with another config"),
        (run(2, directory="1"), "share a run directory"),
    ],
)
def test_runs_that_do_not_fit(manifest, new, says):
    with pytest.raises(ValueError, match=says):
        manifest.extended([new])


def test_an_index_that_is_not_there(manifest):
    assert manifest.run(1).index == 1
    with pytest.raises(ValueError, match="no run 7; the sweep has 2: 0 to 1"):
        manifest.run(7)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "runs": [{}]}'])
def test_what_is_no_manifest(make_sweep, text):
    sweep = make_sweep({})
    sweep.manifest_path.write_text(text)
    with pytest.raises(RuntimeError, match=r"manifest\.json cannot be read"):
        sweep.read_manifest()


@pytest.mark.parametrize("field", ["max_parallel", "cores_per_run"])
def test_settings_check_themselves(field):
    with pytest.raises(ValueError, match=f"`{field}` must be at least 1, or null, got 0"):
        LocalLaunch(**{"max_parallel": None, "cores_per_run": None, field: 0})
