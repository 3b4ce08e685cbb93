"""Checks a whole config against the constructors that it names, before anything is built, submitted or written."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ._config_errors import Problem, choices, problem_at, raised_in
from ._instantiate import instantiate, plain_values
from ._named_processes import FORMS, LIST_FORM, LISTS_FORM, is_named, item_annotation, sections_of, takes_process
from ._sections import CONFIG, GENERATOR_GROUP, GENERATORS, Optional, Section, Target, broken_rule
from ._signature import Parameter, Signature, resolve, signature_of
from ._site import absent_group
from ._types import ABSENT, describe_type, describe_value, fits, wrong_entries

# What our own constructors never mean a value to cause.
_BUGS = (AssertionError, AttributeError, LookupError, NameError)
_MISSING = "is missing; it has no default"
_OF_HYDRA = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")


def check(config: DictConfig, only: str | None = None) -> list[Problem]:
    """Every mistake in `config`: unknown, missing and mistyped keys, and what cheap constructors object to.

    Args:
        config: A composed config, with or without Hydra's own section.
        only: A key of the root, to check that section alone; None for the whole config.

    Returns:
        The mistakes. What is wrong with several `_target_`s alike, as a package that is not installed, is one of them.
    """
    problems: list[Problem] = []
    values = plain_values(config, problems, only)
    schema = CONFIG if only is None else Section(keys={only: CONFIG.keys[only]})
    _Checker(problems).section(values, schema, "")
    return _with_one_remedy(_of_left_out_sections(problems, config))


def check_plugin(section: DictConfig, path: str) -> list[Problem]:
    """The mistakes in the settings of one of our Hydra plugins, which Hydra itself would find only later."""
    problems: list[Problem] = []
    _Checker(problems).target(plain_values(section, problems), Target(cheap=True), path)
    return problems


class _Checker:
    """Walks the config beside its table of sections. Methods return what they built, or `ABSENT`."""

    def __init__(self, problems: list[Problem]):
        self.problems = problems

    def section(self, value: Any, schema: Section, path: str) -> Any:
        if value is ABSENT or (value is None and schema.nullable):
            return value
        if not isinstance(value, Mapping):
            return self._not_a_section(value, path)
        settings = _settings_of(schema)
        if "_target_" in value and "instance" in schema.keys and "instance" not in value:
            names = ", ".join(name for name in value if name not in settings and name not in schema.keys)
            self.problems.append(Problem(path, f"needs an `instance`: {names} belong under it"))
            return ABSENT
        expected = {name: parameter.annotation for name, parameter in settings.items()} | dict(schema.keys)
        if schema.named_by_user is not None:
            expected |= {name: schema.named_by_user for name in value if name not in expected}
        optional = {
            name
            for name, item in schema.keys.items()
            if isinstance(item, Optional) or (isinstance(item, Section) and item.optional)
        }
        required = {name for name, parameter in settings.items() if parameter.required} | (set(schema.keys) - optional)
        self._names(value, set(expected), required, path)
        built = {name: self._item(value[name], expected[name], _join(path, name)) for name in expected if name in value}
        wrong = {problem.path for problem in self.problems}
        needed = [*settings, *(source for source in schema.built_from.values() if source not in built)]
        if schema.constructor is None or any(_join(path, name) in wrong for name in needed):
            return ABSENT
        arguments = {name: value[name] for name in settings if name in value}
        arguments |= {name: built[source] for name, source in schema.built_from.items()}
        return self._construct(partial(resolve(schema.constructor), **arguments), arguments, path)

    def target(self, value: Any, schema: Target, path: str) -> Any:
        if value is ABSENT or (value is None and schema.nullable):
            return value
        if not isinstance(value, Mapping) or not isinstance(value.get("_target_"), str):
            if not isinstance(value, Mapping):
                return self._not_a_section(value, path)
            rule = "must name a class or a function, package.module.Name"
            self.problems.append(Problem(f"{path}._target_", rule + _target_of_name(value, path)))
            return ABSENT
        start = len(self.problems)
        try:
            signature = signature_of(value["_target_"])
        except ValueError as error:
            self.problems.append(Problem(f"{path}._target_", str(error)))
            return ABSENT
        self._arguments(value, signature, schema, path)
        if not schema.cheap or len(self.problems) > start:
            return ABSENT
        built = self._construct(partial(instantiate, value, **schema.supplied), value, path)
        missing = [name for name in schema.methods if built is not ABSENT and not callable(getattr(built, name, None))]
        if missing:
            rule = f"must name a class whose objects have the methods {', '.join(schema.methods)}"
            self.problems.append(
                Problem(f"{path}._target_", f"{rule}; {value['_target_']} has no {', '.join(missing)}")
            )
        return built

    def _arguments(self, value: Mapping[str, Any], signature: Signature, schema: Target, path: str) -> None:
        keys = {name: entry for name, entry in value.items() if name not in _OF_HYDRA}
        positional = set(signature.positional[: len(value.get("_args_", ()))])
        for name in [name for name in keys if name in schema.supplied and name in signature.parameters]:
            self.problems.append(Problem(f"{path}.{name}", "is supplied by the program; remove it"))
            del keys[name]
        for name in [name for name in schema.takes if name not in signature.parameters]:
            rule = f"must take the parameter `{name}`, which the program supplies"
            self.problems.append(Problem(f"{path}._target_", f"{rule}; {value['_target_']} does not"))
        allowed = set(signature.parameters) - set(schema.supplied) - positional
        required = {name for name in allowed if signature.parameters[name].required and not value.get("_partial_")}
        self._names(keys, allowed | (set(keys) if signature.is_open else set()), required, path)
        unannotated = Parameter(Any, None)
        for name in [name for name in keys if name in allowed or signature.is_open]:
            annotation = signature.parameters.get(name, unannotated).annotation
            self._argument(keys[name], annotation, schema, f"{path}.{name}")

    def _argument(self, value: Any, annotation: Any, schema: Target, path: str) -> None:
        """An argument of a `_target_`, which may hold sections with a `_target_` itself, also in lists."""
        if value is ABSENT:
            return
        item = item_annotation(annotation)
        # A section with a `_target_` may build the list.
        if item is not None and not (isinstance(value, Mapping) and "_target_" in value):
            if isinstance(value, list):
                for index, entry in enumerate(value):
                    self._argument(entry, item, schema, f"{path}.{index}")
            else:
                form = LIST_FORM if takes_process(item) else LISTS_FORM
                self.problems.append(Problem(path, f"must be {form}, got {describe_value(value)}"))
            return
        if takes_process(annotation):
            self._process(value, schema, path)
            return
        if not fits(value, annotation):
            entries, item = wrong_entries(value, annotation)
            for name, entry in entries.items():
                self._argument(entry, item, schema, f"{path}.{name}")
            if entries:
                return
            self.problems.append(Problem(path, f"must be {describe_type(annotation)}, got {describe_value(value)}"))
            return
        rule = broken_rule(path, value)
        if rule is not None:
            self.problems.append(Problem(path, rule))
        nested = Target(supplied=schema.supplied, cheap=schema.cheap)
        if isinstance(value, Mapping) and "_target_" in value:
            self.target(value, nested, path)
        elif isinstance(value, Mapping | list):
            for name, entry in value.items() if isinstance(value, Mapping) else enumerate(value):
                if isinstance(entry, Mapping | list):
                    self._argument(entry, Any, schema, f"{path}.{name}")

    def _process(self, value: Any, schema: Target, path: str) -> None:
        """A process inside of another: its name, its name with parameters, or a section with a `_target_`."""
        nested = Target(supplied=schema.supplied, cheap=schema.cheap)
        if not is_named(value):
            if isinstance(value, Mapping) and "_target_" in value:
                self.target(value, nested, path)
            else:
                self.problems.append(Problem(path, f"must be {FORMS}, got {describe_value(value)}"))
            return
        try:
            name, sections = sections_of(value)
        except ValueError as error:
            self.problems.append(Problem(path, str(error)))
            return
        start = len(self.problems)
        for section in sections:
            if len(self.problems) == start:
                self.target(section, nested, path if isinstance(value, str) else f"{path}.{name}")

    def _item(self, value: Any, expectation: Any, path: str) -> Any:
        if isinstance(expectation, Section):
            return self.section(value, expectation, path)
        if isinstance(expectation, Target):
            return self.target(value, expectation, path)
        annotation = expectation.annotation if isinstance(expectation, Optional) else expectation
        self._argument(value, annotation, Target(), path)
        return value

    def _names(self, keys: Mapping[str, Any], allowed: set[str], required: set[str], path: str) -> None:
        for name in [name for name in keys if name not in allowed]:
            home = self._home_of(name, keys)
            remedy = f"belongs under `{path}.instance`" if home else choices(name, allowed)
            if not path and _names_members(keys[name]):
                remedy += absent_group(name)
            self.problems.append(Problem(_join(path, name), f"unknown key; {remedy}"))
        for name in sorted(required - set(keys)):
            self.problems.append(Problem(_join(path, name), _MISSING))

    def _home_of(self, name: str, keys: Mapping[str, Any]) -> bool:
        """Whether a key is one of the section's `instance`, beside which it stands."""
        instance = keys.get("instance")
        if not isinstance(instance, Mapping) or not isinstance(instance.get("_target_"), str):
            return False
        try:
            return name in signature_of(instance["_target_"]).parameters
        except ValueError:
            return False

    def _not_a_section(self, value: Any, path: str) -> Any:
        remedy = ""
        if path in GENERATORS:
            name = value if isinstance(value, str) else "NAME"
            in_yaml = f"`override /{GENERATOR_GROUP}@{path}: {name}`"
            remedy = f"; choose a process: {path}={name}, in a YAML file's defaults {in_yaml}"
        elif isinstance(value, str):
            remedy = f"; to choose from its group: {path.replace('.', '/')}={value}"
        self.problems.append(Problem(path, f"must be a section, got {describe_value(value)}{remedy}"))
        return ABSENT

    def _construct(self, build: Callable[[], Any], arguments: Any, path: str) -> Any:
        """Builds an object that costs next to nothing, so that its domain errors are reported with the others."""
        if not _is_complete(arguments):
            return ABSENT
        try:
            return build()
        except Exception as error:  # whatever a constructor raises, the config made it raise
            if isinstance(error, _BUGS) and raised_in(error, "simplexity"):
                raise
            self.problems.append(problem_at(path, error))
        return ABSENT


def _settings_of(schema: Section) -> dict[str, Parameter]:
    """The keys that a section's constructor adds to it."""
    if schema.constructor is None:
        return {}
    parameters = signature_of(schema.constructor).parameters
    return {name: parameter for name, parameter in parameters.items() if name not in schema.built_from}


def _target_of_name(value: Mapping[str, Any], path: str) -> str:
    """The `_target_` to write, where a generator's process is given as processes inside of others are."""
    if path.removesuffix(".instance") not in GENERATORS or not is_named(value):
        return ""
    try:
        name, sections = sections_of(value)  # pyright: ignore[reportArgumentType]
    except ValueError:
        return ""
    return f"; here {sections[-1]['_target_']}, with what stands under `{name}` beside it"


def _names_members(value: Any) -> bool:
    """Whether a value may have been meant to choose from a group of configs: a name, or a list of names."""
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(name, str) for name in value))


def _of_left_out_sections(problems: list[Problem], config: DictConfig) -> list[Problem]:
    """Says of a section of which keys are missing that it was not chosen, and a study has set the others."""
    chosen = OmegaConf.select(config, "hydra.runtime.choices") or {}
    overrides = OmegaConf.select(config, "hydra.overrides.task") or []
    found = []
    for problem in problems:
        group, _, key = problem.path.partition(".")
        # `GROUP=null` has become `~GROUP`.
        is_left_out = chosen.get(group, "") is None or f"~{group}" in {each.partition("=")[0] for each in overrides}
        if key and is_left_out and problem.message == _MISSING:
            is_typed = any(override.lstrip("+").startswith(f"{group}.") for override in overrides)
            setter = f"study={chosen['study']} sets" if "study" in chosen and not is_typed else "there are values for"
            remedy = f"choose it with {group}=default"
            if chosen.get(group, "") is None:
                remedy = f"{remedy}, or use simplexity/run_experiment.py, which has it"
            problem = Problem(group, f"is left out by this command, and {setter} some of its keys: {remedy}")
        found.append(problem)
    return list(dict.fromkeys(found))


def _with_one_remedy(problems: list[Problem]) -> list[Problem]:
    """The problems, those of several `_target_`s with the same remedy joined to the first of them."""
    joined: dict[object, list[Problem]] = {}
    for problem in problems:
        # Every other problem is mended by itself, whatever it says.
        joined.setdefault(problem.message if problem.path.endswith("_target_") else problem, []).append(problem)
    return [
        first._replace(message=f"{first.message}; also at {', '.join(f'`{problem.path}`' for problem in others)}")
        if others
        else first
        for first, *others in joined.values()
    ]


def _is_complete(value: Any) -> bool:
    if isinstance(value, Mapping | list):
        return all(map(_is_complete, value.values() if isinstance(value, Mapping) else value))
    return value is not ABSENT


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
