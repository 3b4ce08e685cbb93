import re
from pathlib import Path

import pytest
import yaml

from simplexity.cluster import ClusterProfile, Container

CONFIGS = Path(__file__).parents[2] / "simplexity" / "configs" / "cluster"


def packaged(name: str) -> dict:
    values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    return {key: None if isinstance(value, str) and "${" in value else value for key, value in values.items()}


@pytest.mark.parametrize("name", ["dev", "gpu"])
def test_packaged_profiles_are_whole_and_valid(name):
    assert ClusterProfile(**packaged(name)).signal_lead_s >= 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": 0}, "`nodes` must be at least 1, got 0"),
        ({"signal_lead_s": 3600}, "`signal_lead_s` must be less than the time limit of 3600 s"),
        ({"signal_lead_s": 70000, "time_limit_minutes": 9999}, "`signal_lead_s` must be between 1 and 65535"),
        ({"gpus_per_node": 0}, "`gpus_per_node` must be at least 1, or null"),
        ({"gres": "gpu:1", "gpus_per_node": 1}, "`gres` (gpu:1) and `gpus_per_node` (1) exclude each other"),
        ({"tasks_per_gpu": 2}, "`tasks_per_gpu` is for jobs with a GPU: set `gpus_per_node` or `gres` too"),
        ({"tasks_per_gpu": 0, "gpus_per_node": 1}, "`tasks_per_gpu` must be at least 1, or null, got 0"),
        ({"tasks_per_gpu": 2, "gres": "gpu", "nodes": 2}, "`tasks_per_gpu` must be null where a run has several"),
        ({"sbatch_options": {"ntasks-per-gpu": "2"}}, "must not have 'ntasks-per-gpu': set `tasks_per_gpu`"),
        ({"memory": "lots"}, "`memory` must be a number with K, M, G or T"),
        ({"partition": "low\n#SBATCH --account=x"}, "`partition` must be one word"),
        ({"sbatch_options": {"--exclude": "n1"}}, "long names without dashes, got '--exclude'"),
        ({"sbatch_options": {"mem": "1G"}}, "must not have 'mem': set `memory`"),
        ({"sbatch_options": {"array": "0-3"}}, "must not have 'array': the launcher sets it"),
        ({"sbatch_options": {"exclude": "n1 n2"}}, "`sbatch_options.exclude` must be one word"),
        ({"cache_folder": "~/cache"}, "`cache_folder` is taken as it is written: put ${oc.env:HOME} for ~"),
        ({"environment": {"A B": "1"}}, "names of environment variables, got 'A B'"),
        ({"environment": {"SLURM_JOB_ID": "1"}}, "must not set SLURM_JOB_ID"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ClusterProfile(**packaged("dev") | changes)


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ({"gpus_per_node": 4}, 4),
        ({"gres": "gpu"}, 1),
        ({"gres": "gpu:2"}, 2),
        ({"gres": "gpu:a100"}, 1),
        ({"gres": "license:3,gpu:3g.20gb:2,gpu:h100:1"}, 3),
        ({"gres": "shard:4"}, 0),
        ({}, 0),
    ],
)
def test_the_number_of_gpus_is_what_slurm_is_asked_for(asked, number):
    profile = ClusterProfile(**packaged("dev") | asked)
    assert profile.num_gpus == number
    assert profile.workers_per_task == 1
    if number:
        assert ClusterProfile(**packaged("dev") | asked | {"tasks_per_gpu": 3}).workers_per_task == 3 * number


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": ""}, "`image` must be a path or a name"),
        ({"binds": [":/x"]}, "`binds` must hold SOURCE"),
        ({"env": {"1X": ""}}, "`env` must have names"),
    ],
)
def test_mistakes_in_a_container_are_named(changes, message):
    values = {"image": "a.sif", "runtime": "apptainer", "binds": ["/data:/data:ro", "/x"], "env": {"A": "1"}}
    assert Container(**values).image == "a.sif"
    with pytest.raises(ValueError, match=re.escape(message)):
        Container(**values | changes)
