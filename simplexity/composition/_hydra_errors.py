"""Hydra's errors, put in one line that names the key, the rule, the value and the remedy."""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from yaml import MarkedYAMLError

from ._config_errors import Problem, choices, closest
from ._from_run import BASE_CHOICE
from ._overrides import as_typed
from ._sections import GENERATOR_GROUP, GENERATORS
from ._signature import signature_of
from ._site import SITE_VARIABLE, site_folder
from ._types import describe_value

# The default of `cluster`: see configs/hydra/launcher/slurm.yaml.
_CLUSTER = "SIMPLEXITY_CLUSTER"
SEARCH = "or let Optuna search in it: --multirun hydra/sweeper=optuna"
_QUOTED = re.compile(r"'([^']+)'|^Error merging override (\S+)|^Override (\S+) looks")
_SWEEP_OF_HYDRA = "Sweeping over Hydra's configuration is not supported : "
# Sections of a cluster's profile that take any key.
_OPEN = ("cluster.sbatch_options", "cluster.environment", "cluster.container.env", "hydra.job.env_set")
# Keys beside a process, which a site's file of it may lack.
_OF_GENERATORS = ("bos_token", "eos_token", "initial_state")
_NAMED = re.compile(r"`([^`]+)`:?\s+(.*)")


class Culprit(NamedTuple):
    """An override that cannot be applied, Hydra's error, and the section that it would have chosen, if any."""

    override: str
    error: Exception
    section: str | None = None

    @property
    def key(self) -> str:
        """The key as the user typed it."""
        return as_typed(self.override.partition("=")[0].lstrip("+~")) or self.override


def find_culprit(error: Exception, overrides: Sequence[str]) -> Culprit | None:
    """The override among `overrides` that Hydra's error is about, or None if it is about none of them."""
    if isinstance(error, OverrideParseException):
        return Culprit(error.override, error)
    if isinstance(error, MissingConfigException):
        for override in overrides:
            key, _, value = override.lstrip("+").partition("=")
            group, _, section = key.partition("@")
            # A list chooses several members, and a value may have slashes of its own, as `../mess3`.
            names = [name.strip(" '\"") for name in value.strip().removeprefix("[").removesuffix("]").split(",")]
            if error.missing_cfg_file in [f"{group}/{name}" for name in names]:
                return Culprit(override, error, section=(section or group).replace("/", "."))
        return None
    if str(error).startswith(_SWEEP_OF_HYDRA):
        named = str(error).removeprefix(_SWEEP_OF_HYDRA).strip("'")
        return next((Culprit(override, error) for override in overrides if override == named), None)
    if "Config group override must be a string" in str(error):
        wrong = [override for override in overrides if _chooses(override) and not _names_member(override)]
        return Culprit(wrong[0], error) if wrong else None
    match = _QUOTED.search(str(error))
    quoted = next((group for group in match.groups() if group), None) if match else None
    for override in overrides:
        if quoted in (override, override.partition("=")[0].lstrip("+~")):
            return Culprit(override, error)
    return None


def explain(culprit: Culprit, config: DictConfig | None) -> Problem:
    """Says what is wrong with an override.

    Args:
        culprit: What went wrong.
        config: The config composed without it; None if there is none, the mistake then being elsewhere.
    """
    error, key = culprit.error, culprit.key
    text = str(error)
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        place = f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
        return Problem(error.problem_mark.name, f"is not YAML: {error.problem or error.context} in {place}")
    if isinstance(error, OverrideParseException):
        return Problem(as_typed(culprit.override), _form(as_typed(culprit.override), text))
    if isinstance(error, MissingConfigException):
        missing = error.missing_cfg_file or ""
        group = culprit.override.lstrip("+").partition("=")[0].partition("@")[0]
        if not missing.startswith(f"{group}/"):
            group = missing.rpartition("/")[0]
        name = missing.removeprefix(f"{group}/")
        if group == "cluster" and key != group and name == os.environ.get(_CLUSTER):
            key = f"{_CLUSTER} (environment)"
        options = _typable(error.options or _options(group))
        return Problem(key, f"there is no '{name}'; {choices(name, options)}{_absent_site()}")
    if text.startswith(_SWEEP_OF_HYDRA):
        key, _, value = text.removeprefix(_SWEEP_OF_HYDRA).strip("'").partition("=")
        plus, key = key[: len(key) - len(key.lstrip("+~"))], as_typed(key.lstrip("+~"))
        quoted = f"\"{plus}{key}='{value}'\""
        return Problem(
            key, f"got several values, and no sweep takes it; to give one with a comma in it, write {quoted}"
        )
    if "Config group override must be a string" in text:
        group = culprit.override.partition("=")[0].partition("@")[0]
        value = culprit.override.partition("=")[2] or "nothing"
        return Problem(
            key, f"must name a member of its group, got {value}; {choices(value, _typable(_options(group)))}"
        )
    if "Ambiguous value" in text or "requires --multirun" in text:
        if "interval(" in culprit.override:
            return Problem(key, f"an interval is no value: give one, {SEARCH}")
        return Problem(key, "got several values; to run each, add --multirun, to give a list, write [a,b]")
    if text.startswith("Could not append"):
        return Problem(key, "is there already; write it without the +")
    if text.startswith("Could not override") and config is not None:
        return _unknown_key(key, config)
    cause = error.__cause__
    named = _NAMED.match(str(cause) if isinstance(error, InstantiationException) else text)
    if named is not None:
        return Problem(named[1], named[2])
    return Problem(key, text.splitlines()[0] + (f" {str(cause).splitlines()[0]}" if cause and str(cause) else ""))


def _unknown_key(key: str, config: DictConfig) -> Problem:
    """Walks down `key` to the section where it ends."""
    if key == "cluster":
        return Problem(key, "is for hydra/launcher=slurm; add that, or leave the cluster out")
    if key == GENERATOR_GROUP:
        names = " and ".join(f"{name}=NAME" for name in GENERATORS)
        return Problem(key, f"is the group of two keys; choose from it with {names}")
    if "/" in key or "@" in key:
        known = [as_typed(name) for name in config.hydra.runtime.choices if not name.startswith("hydra")]
        return Problem(key, f"there is no such group to choose from; {choices(key, known)}")
    node, parts = config, key.split(".")
    if parts[0] == "cluster" and "cluster" in config.hydra.launcher:
        node = config.hydra.launcher
    for depth, part in enumerate(parts):
        parent = ".".join(parts[:depth])
        if node is None:
            return Problem(key, f"cannot be set, `{parent}` is null{_remedy_of_null(parent)}")
        if not isinstance(node, DictConfig):
            value = OmegaConf.to_object(node) if OmegaConf.is_config(node) else node
            return Problem(key, f"cannot be set, `{parent}` is {describe_value(value)}")
        if part not in node and (parent in _OPEN or (parent in GENERATORS and part in _OF_GENERATORS)):
            return Problem(key, f"is not there yet; to add it, write +{key}=...")
        if part not in node:
            if depth == len(parts) - 1 and (home := _home(node, part)) is not None:
                return Problem(key, home.format(parent=parent, name=part))
            names = [str(name) for name in node if name != "hydra"]
            guess = _corrected(parts[depth:], node)
            guess = ".".join([*parts[:depth], *guess]) if guess else None
            return Problem(key, f"unknown key; {choices(part, names, guess)}")
        node = OmegaConf.select(node, part)
    if not isinstance(node, DictConfig):
        return Problem(key, "is no key of what this command chooses elsewhere")
    names = ", ".join(map(str, node))
    rule = f"is merged into the section that is there, which {f'has only {names}' if names else 'is empty'}"
    remedy = f"to add to it, write +{key}=...; " if key in _OPEN else ""
    return Problem(key, f"{rule}; {remedy}to replace that, write ~{key} +{key}=...")


def _remedy_of_null(path: str) -> str:
    """What to choose first, to set a key of a section that is null."""
    if path == "validation_data_generator":
        return ": validation follows the training generator unless you add validation_data_generator=NAME"
    group = path.replace(".", "/")
    members = [f"{group}={member}" for member in _typable(_options(group))]
    return f": choose a member of its group first, {' or '.join(members)}" if members else ""


def _corrected(parts: Sequence[str], section: Any) -> list[str] | None:
    """The key of `section` that was meant by these parts of a dotted one; None if one of them is close to nothing."""
    if not parts:
        return []
    names = [str(name) for name in section if name != "hydra"] if isinstance(section, DictConfig) else []
    name = parts[0] if parts[0] in names else closest(parts[0], names)
    if name is None:
        return None
    rest = _corrected(parts[1:], OmegaConf.select(section, name)) if len(parts) > 1 else []
    return None if rest is None else [name, *rest]


def _form(override: str, text: str) -> str:
    """Why an override is not one, and how to write it."""
    key, equals, value = override.partition("=")
    if not equals and re.fullmatch(r"[\w.@/]+", override):
        return f"has no value; write {override}=VALUE, or ~{override} to take the key out"
    # The name of an exception of Hydra's parser helps no user, nor does what was typed, once more.
    found = re.sub(r"^\w+Exception: *", "", text.splitlines()[-2 if "Error parsing" in text else 0])
    reason = "is not of the form KEY=VALUE" + (f": {found}" if found not in override else "")
    if value.startswith(("[", "{")):
        return f"{reason}; quote what has special characters"
    quoted = "{}='{}'".format(key, value.replace("'", "\\'"))
    try:
        OverridesParser.create().parse_override(quoted)
    except HydraException:
        return reason
    return f'has a character that Hydra\'s grammar uses; quote the value, for the shell too: "{quoted}"'


def _absent_site() -> str:
    folder = site_folder()
    if folder.is_dir():
        return ""
    remedy = f"change the current folder, or set {SITE_VARIABLE}"
    return f"; configs of your own would be in {folder}, which does not exist: {remedy}"


def _home(section: DictConfig, name: str) -> str | None:
    """Where a key that a section lacks would be: in its constructor's signature, or in that of its `instance`."""
    if name in _parameters(section):
        return "is not in the config, but may be added: write +{parent}.{name}=VALUE"
    instance = section.get("instance")
    if isinstance(instance, DictConfig) and name in _parameters(instance):
        return "belongs to `instance`: write {parent}.instance.{name}=VALUE"
    return None


def _parameters(section: DictConfig) -> Collection[str]:
    try:
        return signature_of(section["_target_"]).parameters if "_target_" in section else ()
    except ValueError:
        return ()


def _chooses(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0].partition("@")[0]
    return GlobalHydra.instance().config_loader().repository.group_exists(key)  # pyright: ignore


def _names_member(override: str) -> bool:
    value = override.partition("=")[2].strip()
    return bool(re.fullmatch(r"[A-Za-z_\[].*", value)) and value.lower() not in ("null", "true", "false", "nan", "inf")


def _options(group: str) -> list[str]:
    return GlobalHydra.instance().config_loader().get_group_options(group)


def _typable(options: Iterable[str]) -> list[str]:
    """Without what is meant for other configs, and the base of `+from_run`, which is there without being typed."""
    return [option for option in options if not option.startswith(("_", BASE_CHOICE))]
