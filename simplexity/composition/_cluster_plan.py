"""What a sweep would request from a cluster, read from the same config as the sweep itself."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from simplexity.cluster import ClusterProfile

from ._check import check_plugin
from ._compose import compose_leniently
from ._config_errors import ConfigError, Problem
from ._frozen import config_hash
from ._instantiate import without_hydra

_CHOICE = "cluster@hydra.launcher.cluster"
# More than any test job takes: it is told to stop.
_ENDLESS = 10**9


class ClusterPlan(NamedTuple):
    """A sweep's demands, and one run to try them out with.

    Attributes:
        profile: The cluster's profile.
        profile_name: Its name, as in `cluster=NAME`.
        sweeps_folder: Absolute path of the folder that sweeps are made in.
        runs_folder: The same for single runs.
        config_name: The primary config.
        config_text: A run's frozen config, with steps without end.
        config_hash: Its hash.
        num_train_steps: Its number of steps.
    """

    profile: ClusterProfile
    profile_name: str
    sweeps_folder: Path
    runs_folder: Path
    config_name: str
    config_text: str
    config_hash: str
    num_train_steps: int


def read_profile(section: Mapping[str, Any], timeout_min: int | None = None) -> ClusterProfile:
    """The profile of a config's section `cluster`.

    Args:
        section: The fields of `ClusterProfile`.
        timeout_min: A time limit in minutes that replaces the profile's; None for the profile's.

    Raises:
        ConfigError: With every mistake in it.
    """
    try:
        values: dict[str, Any] = {"_target_": "simplexity.cluster.ClusterProfile", **section}
    except OmegaConfBaseException as error:  # of an interpolation
        key = str(error.full_key).removeprefix("hydra.launcher.")
        raise ConfigError([Problem(key, str(error).splitlines()[0])]) from None
    if timeout_min is not None:
        values["time_limit_minutes"] = timeout_min
    for name in ("sbatch_options", "environment"):
        values[name] = _as_text(values.get(name))
    if isinstance(values.get("container"), Mapping):
        container = {"binds": [], "env": {}, **values["container"]}
        values["container"] = {
            "_target_": "simplexity.cluster.Container",
            **container,
            "env": _as_text(container["env"]),
        }
    config = OmegaConf.create(values)
    problems = check_plugin(config, "cluster")
    missing = sorted({field.name for field in fields(ClusterProfile) if field.default is MISSING} - set(section))
    if missing:
        remedy = "begin the profile with `defaults: [gpu, _self_]`, and write only what differs"
        lacking = {f"cluster.{name}" for name in missing}
        problems = [problem for problem in problems if problem.path not in lacking]
        problems.insert(0, Problem("cluster", f"has no {', '.join(missing)}; {remedy}"))
    if problems:
        raise ConfigError(problems)
    return instantiate(config, _convert_="all")


def _as_text(section: Any) -> Any:
    """A section of texts, with numbers as they are written: `{nice: 10}` means {"nice": "10"}."""
    if not isinstance(section, Mapping):
        return section
    return {
        name: str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        for name, value in section.items()
    }


def plan_for_cluster(overrides: Sequence[str]) -> ClusterPlan:
    """Composes a run with `hydra/launcher=slurm` and the overrides, without jax.

    Raises:
        ConfigError: With every mistake that composing finds; those in a run's values are found by the run.
    """
    name = "experiment"
    endless = [f"training.num_train_steps={_ENDLESS}", "figures=false"]
    config, problems = compose_leniently(name, ["hydra/launcher=slurm", *overrides, *endless])
    if problems:
        raise ConfigError(problems)
    launcher = config.hydra.launcher
    if "cluster" not in launcher:
        raise ConfigError([Problem("hydra/launcher", "must be slurm, which is what has a cluster")])
    values = without_hydra(config)
    return ClusterPlan(
        profile=read_profile(launcher.cluster, launcher.timeout_min),
        profile_name=str(config.hydra.runtime.choices.get(_CHOICE)),
        sweeps_folder=_fixed_part(OmegaConf.to_container(config.hydra.sweep, resolve=False)),
        runs_folder=_fixed_part(OmegaConf.to_container(config.hydra.run, resolve=False)),
        config_name=name,
        config_text=OmegaConf.to_yaml(OmegaConf.create(values)),
        config_hash=config_hash(values),
        num_train_steps=_ENDLESS,
    )


def _fixed_part(section: Any) -> Path:
    """A folder without what every start puts behind it: "multirun" of "multirun/${now:%Y-%m-%d}"."""
    fixed, varies, _ = str(section["dir"]).partition("${now:")
    folder = fixed.rpartition("/")[0] if varies else fixed
    # Other interpolations, such as of environment variables, are the same for every start.
    return Path(OmegaConf.create({"folder": folder}).folder or ".").absolute()
