"""Processes inside of others, by their names: `components: [{mess3: {x: 0.1}}, tom_quantum]`.

Where a constructor takes a process, a config may give the name of a file of the group `generative_process` (packaged,
or the site's), alone or with parameters. It stands for the `instance` of that file with these parameters in it. A
frozen config has the `instance` itself, so that a run does not depend on the file.
"""

import inspect
import re
import typing
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from omegaconf import OmegaConf

from simplexity.runs import is_there

from ._config_errors import choices
from ._sections import GENERATOR_GROUP, GENERATORS
from ._signature import signature_of
from ._site import site_folder

FORMS: Final = "the name of a process, its name with parameters as in {mess3: {x: 0.1}}, or a section with a `_target_`"
LIST_FORM: Final = "a list of processes, as in [mess3, {mess3: {x: 0.1}}]"
LISTS_FORM: Final = "a list of lists of processes, as in [[coin], [mess3, {mess3: {x: 0.1}}]]"
_PACKAGE = "simplexity.generative_processes"
_INITIAL_STATE = "initial_state"


def takes_process(annotation: Any) -> bool:
    """Whether a parameter annotated so takes a process, and no other kind of object."""
    # By name: a section that has no process in it must not import jax.
    classes = annotation.__mro__ if inspect.isclass(annotation) else ()
    return any(kind.__name__ == "GenerativeProcess" and kind.__module__.startswith(_PACKAGE) for kind in classes)


def item_annotation(annotation: Any) -> Any:
    """What the items of a list are, where that is a process or a list of processes at any depth; None if it is not."""
    arguments = typing.get_args(annotation)
    if not inspect.isclass(typing.get_origin(annotation)) or len(arguments) != 1:
        return None
    return arguments[0] if takes_process(arguments[0]) or item_annotation(arguments[0]) is not None else None


def is_named(value: Any) -> bool:
    """Whether a value names a process: a string, or a section of one entry that is no `_target_`."""
    return isinstance(value, str) or (isinstance(value, Mapping) and len(value) == 1 and "_target_" not in value)


def sections_of(value: str | Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The name of a process that `is_named`, and the section with a `_target_` that it stands for, last in a list.

    With an `initial_state`, the process without it stands first in the list.

    Raises:
        ValueError: If there is no process of that name, or its parameters are no section.
    """
    name, given = (value, {}) if isinstance(value, str) else next(iter(value.items()))
    if not isinstance(given, Mapping | None):
        raise ValueError(f"must be a section of parameters, as in {{{name}: {{PARAMETER: VALUE}}}}, got {given!r}")
    instance = _instance(_file_of(str(name)))
    parameters = dict(given or {})
    if _INITIAL_STATE not in parameters or _INITIAL_STATE in signature_of(instance["_target_"]).parameters:
        return name, [{**instance, **parameters}]
    state = parameters.pop(_INITIAL_STATE)
    process = {**instance, **parameters}
    return name, [process, {"_target_": f"{_PACKAGE}.with_initial_state", "process": process, _INITIAL_STATE: state}]


def expand_generators(config: dict[str, Any]) -> dict[str, Any]:
    """The values of a config with a section in the place of each named process.

    Raises:
        ValueError: If there is no process of such a name.
    """
    generators = {name: config[name] for name in GENERATORS if isinstance(config.get(name), Mapping)}
    return config | {
        name: {**section, "instance": expand_processes(section["instance"])}
        for name, section in generators.items()
        if isinstance(section.get("instance"), Mapping)
    }


def expand_processes(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section with a `_target_` in which each named process is a section too, at any depth.

    Raises:
        ValueError: If there is no process of such a name.
    """
    named = [value for name, value in section.items() if name != "_target_"]
    # Of numbers alone the constructor need not be known, which would import jax.
    parameters = signature_of(section["_target_"]).parameters if "_target_" in section and _has_text(named) else {}
    return {
        name: _expanded_argument(value, parameters[name].annotation) if name in parameters else value
        for name, value in section.items()
    }


def _has_text(value: Any) -> bool:
    """Whether a value has a string or a section in it, as a process is given."""
    return any(map(_has_text, value)) if isinstance(value, list) else isinstance(value, str | Mapping)


def _expanded_argument(value: Any, annotation: Any) -> Any:
    if isinstance(value, list) and (item := item_annotation(annotation)) is not None:
        return [_expanded_argument(entry, item) for entry in value]
    if not isinstance(value, str | Mapping) or not takes_process(annotation):
        return value
    return expand_processes(sections_of(value)[1][-1] if is_named(value) else value)  # pyright: ignore[reportArgumentType]


def _file_of(name: str) -> Path:
    """The packaged file of a process, which hides the site's of the same name."""
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"must be {FORMS}, got the string '{name}'")
    folders = [Path(str(folder), GENERATOR_GROUP) for folder in (files("simplexity.configs"), site_folder())]
    for folder in folders:
        if is_there(folder / f"{name}.yaml"):
            return folder / f"{name}.yaml"
    known = {path.stem for folder in folders for path in folder.glob("*.yaml")}
    raise ValueError(f"there is no process `{name}`; {choices(name, known)}")


@cache
def _instance(path: Path) -> dict[str, Any]:
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        instance = config["instance"]
        signature_of(instance["_target_"])
    except Exception as error:  # the YAML parser's errors have no common public base, and a file may hold anything
        raise ValueError(f"names {path}, which has no `instance` with a valid `_target_`") from error
    return instance
