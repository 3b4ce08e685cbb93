"""Checks every value that a sweep takes before its first run starts.

Not every combination: the runs of a grid are the product of its axes, and the values of an axis are checked with the
first values of the others. What only a combination can break is found when that run is composed.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ._check import check, check_plugin
from ._config_errors import Problem
from ._hydra_errors import SEARCH, Culprit, explain, find_culprit
from ._overrides import as_typed

_GRID = "hydra_plugins.simplexity_grid_sweeper"
# As Hydra's grammar has them: 007 is a text.
_is_integer = re.compile(r"0|[1-9][0-9]{0,17}").fullmatch


class _Axis(NamedTuple):
    """A key and the overrides that a sweep sets it by; an interval stands for its two ends."""

    key: str
    overrides: tuple[str, ...]
    is_interval: bool


def check_sweep(config: DictConfig) -> list[Problem]:
    """The problems of all the values that a sweep takes.

    Args:
        config: The sweep's config as Hydra composed it, without its sweeping overrides applied.
    """
    loader = GlobalHydra.instance().config_loader()
    try:
        axes, fixed = _axes(config, loader)
    except HydraException as error:
        return [explain(Culprit("hydra.sweeper.params", error), None)]
    problems = _unsweepable(axes, has_grid=str(config.hydra.sweeper._target_).startswith(_GRID))
    groups, wrong = _groups(axes, OmegaConf.select(config, "hydra.sweeper.zip") or ())
    problems += wrong
    if problems:
        return problems
    base, problems = _compose(config, loader, fixed + [axis.overrides[0] for axis in axes])
    if base is None:
        return [_with_origin(problem, config) for problem in problems]
    # What cannot be composed comes first: what is wrong with a value that can may be its consequence.
    uncomposed: list[Problem] = []
    problems = check(base)
    if str(config.hydra.sweeper._target_).startswith("hydra_plugins.simplexity"):
        problems += check_plugin(config.hydra.sweeper, "hydra.sweeper")
    for group in groups:
        others = fixed + [other.overrides[0] for other in axes if other not in group]
        for overrides in list(zip(*(axis.overrides for axis in group), strict=True))[1:]:
            composed, found = _check_values(config, loader, base, others, overrides)
            (problems if composed else uncomposed).extend(found)
        for axis in group:
            if _is_scalar(base, axis.key):
                _set(base, loader, axis.overrides[0])
    return [_with_origin(problem, config) for problem in dict.fromkeys([*uncomposed, *problems])]


def _unsweepable(axes: list[_Axis], *, has_grid: bool) -> list[Problem]:
    """The axes that would make a sweep of no runs, or of equal ones, and those that a grid has no values for."""
    if has_grid and (searched := [as_typed(axis.key) for axis in axes if axis.is_interval]):
        return [Problem(key, f"an interval is no list of values: list some, {SEARCH}") for key in searched]
    problems = [Problem(as_typed(axis.key), "has no values to sweep over") for axis in axes if not axis.overrides]
    message = "cannot be swept over, because a sweep has one cluster: start a sweep for each"
    return problems + [Problem("cluster", message) for axis in axes if as_typed(axis.key) == "cluster"]


def _with_origin(problem: Problem, config: DictConfig) -> Problem:
    """Adds to a problem with a key that was not typed where the key comes from, and how to take it out."""
    task: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    typed = {as_typed(line.partition("=")[0].lstrip("+~")) for line in task}
    searched = {as_typed(str(key)) for key in OmegaConf.select(config, "hydra.sweeper.params") or {}}
    if problem.path not in searched - typed:
        return problem
    remedy = f"`hydra.sweeper.params` names it; to take it out: '++hydra.sweeper.params={{{problem.path}: null}}'"
    return Problem(problem.path, f"{problem.message}; {remedy}")


def _groups(axes: list[_Axis], zipped: Any) -> tuple[list[list[_Axis]], list[Problem]]:
    """The axes, those together that `hydra.sweeper.zip` names together, and what is wrong with that."""
    if not (OmegaConf.is_list(zipped) or isinstance(zipped, tuple)) or not all(map(OmegaConf.is_list, zipped)):
        return [[axis] for axis in axes], []  # the check of the sweeper's settings says what it must be
    by_key = {axis.key.lstrip("+"): axis for axis in axes}
    problems, groups = [], []
    for keys in zipped:
        missing = [as_typed(str(key)) for key in keys if key not in by_key]
        group = [by_key[key] for key in keys if key in by_key]
        counts = ", ".join(f"{as_typed(axis.key)} has {len(axis.overrides)}" for axis in group)
        if missing:
            problems.append(Problem("hydra.sweeper.zip", f"names {missing[0]}, which is not swept over"))
        elif len({len(axis.overrides) for axis in group}) > 1:
            problems.append(Problem("hydra.sweeper.zip", f"needs as many values of each key: {counts}"))
        groups.append(group)
    together = {axis.key for group in groups for axis in group}
    return [*groups, *([axis] for axis in axes if axis.key not in together)], problems


def _check_values(
    config: DictConfig, loader: ConfigLoader, base: DictConfig, others: list[str], overrides: Sequence[str]
) -> tuple[bool, list[Problem]]:
    """Whether a config with these values can be composed, and what is wrong with it."""
    keys = [override.partition("=")[0] for override in overrides]
    if all(_is_scalar(base, key) for key in keys):
        # Composing takes a tenth of a second; a sweep over a thousand seeds must not.
        for override in overrides:
            _set(base, loader, override)
        names = dict.fromkeys(key.partition(".")[0] for key in keys)
        return True, [problem for name in names for problem in check(base, name)]
    composed, problems = _compose(config, loader, [*others, *overrides])
    return (False, problems) if composed is None else (True, check(composed))


def _is_scalar(base: DictConfig, key: str) -> bool:
    value = None if set(key) & set("@/+~") else OmegaConf.select(base, key)
    return value is not None and not OmegaConf.is_config(value)


def _set(base: DictConfig, loader: ConfigLoader, override: str) -> None:
    key, _, text = override.partition("=")
    # Hydra's parser takes milliseconds, which a sweep over thousands of seeds must not.
    value = int(text) if _is_integer(text) else _parse([override], loader)[0].value()
    OmegaConf.update(base, key, value)


def _compose(config: DictConfig, loader: ConfigLoader, overrides: list[str]) -> tuple[DictConfig | None, list[Problem]]:
    try:
        composed = loader.load_sweep_config(config, overrides)
        with read_write(composed), open_dict(composed):
            composed.hydra.job.update(num=0, id="0")
        return composed, []
    except Exception as error:  # Hydra's and OmegaConf's errors have no common base
        culprit = find_culprit(error, overrides) or Culprit(str(config.hydra.job.config_name), error)
        return None, [explain(culprit, config)]


def _axes(config: DictConfig, loader: ConfigLoader) -> tuple[list[_Axis], list[str]]:
    parameters = OmegaConf.select(config, "hydra.sweeper.params") or {}
    task: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    # Null takes a key out, as the sweepers know.
    lines = [f"{key}={value}" for key, value in parameters.items() if value is not None] + task
    # The command line comes last, and replaces a parameter of the same key.
    latest = {override.get_key_element(): override for override in _parse(lines, loader)}
    axes, fixed = [], []
    for key, override in latest.items():
        if not override.is_sweep_override():
            fixed.append(str(override.input_line))
            continue
        values = tuple(f"{key}={value}" for value in _values(override))
        axes.append(_Axis(key, values, isinstance(override.value(), IntervalSweep)))
    return axes, fixed


def _values(override: Override) -> Iterator[str]:
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        return iter((str(sweep.start), str(sweep.end)))
    return override.sweep_string_iterator()


def _parse(lines: list[str], loader: ConfigLoader) -> list[Override]:
    return OverridesParser.create(config_loader=loader).parse_overrides(lines)
