from pathlib import Path

import pytest
import yaml

from simplexity.composition import ConfigError, plan_for_cluster, read_profile

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The site's profile `mine`, as text."""

    def write(text: str) -> Path:
        file = tmp_path / "configs" / "cluster" / "mine.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text)
        return file

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIMPLEXITY_CONFIGS", raising=False)
    return write


def test_a_profile_of_the_lines_that_differ(site, tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCH_OF_ME", f"{tmp_path}/s")
    site("defaults: [gpu, _self_]\npartition: preemptible\nscratch_folder: ${oc.env:SCRATCH_OF_ME}\n")
    plan = plan_for_cluster(["cluster=mine", "cluster.memory=8G", "hydra.launcher.timeout_min=30", "seed=7"])
    assert plan.profile_name == "mine"
    profile = plan.profile
    assert (profile.partition, profile.gpus_per_node, profile.memory) == ("preemptible", 1, "8G")
    assert (profile.time_limit_minutes, profile.scratch_folder) == (30, f"{tmp_path}/s")
    assert "seed: 7\n" in plan.config_text
    assert "hydra" not in plan.config_text


@pytest.mark.parametrize(
    ("override", "folder"),
    [
        ("seed=1", "multirun"),
        ("hydra.sweep.dir=/data/mine", "/data/mine"),
        ("hydra.sweep.dir='a b/x-${now:%Y}/y'", "a b"),
        ("hydra.sweep.dir='${now:%Y}'", "."),
        ("hydra.sweep.dir='${oc.env:BASE}/sweeps/${now:%Y}'", "/base/sweeps"),
    ],
)
def test_the_folder_of_sweeps_is_what_every_start_shares(monkeypatch, tmp_path, override, folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BASE", "/base")
    plan = plan_for_cluster(["cluster=dev", override])
    assert plan.sweeps_folder == (tmp_path / folder).absolute()
    assert plan.runs_folder == tmp_path / "outputs"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partition: [low\n", "is not YAML: expected ',' or ']', but got '<stream end>' in line 2, column 1"),
        ("defaults: [gpu, _self_]\n\tpartition: low\n", "found character '\\t' that cannot start any token in line 2"),
        ("partition: low\nqos: null\n", "`cluster`: has no account, cache_folder, "),
        ("partition: low\n", "begin the profile with `defaults: [gpu, _self_]`, and write only what differs"),
        ("defaults: [gpu, _self_]\nmemmory: 1G\n", "`cluster.memmory`: unknown key; did you mean `memory`?"),
        (
            "defaults: [gpu, _self_]\naccount: ${oc.env:NOT_THERE}\n",
            "`cluster.account`: KeyError raised while resolving",
        ),
        ("defaults: [gpu, _self_]\nmemory: lots\n", "`cluster.memory`: must be a number with K, M, G or T"),
    ],
)
def test_mistakes_in_a_profile_are_told_in_one_line(site, text, message):
    site(text)
    with pytest.raises(ConfigError) as caught:
        plan_for_cluster(["cluster=mine"])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_profile_to_copy_is_whole(monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    assert plan_for_cluster(["cluster=my_cluster"]).profile.partition == "preemptible"


def test_a_container_is_checked_too():
    values = yaml.safe_load((CHECKOUT / "simplexity/configs/cluster/dev.yaml").read_text())
    container = {"image": "", "runtime": "apptainer", "binds": [], "env": {}}
    with pytest.raises(ConfigError, match=r"`cluster\.container\.image`: must be a path or a name"):
        read_profile(values | {"container": container})
