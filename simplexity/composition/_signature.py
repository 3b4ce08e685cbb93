"""The constructor is the schema: the keys and types that a `_target_` expects, read from its signature."""

import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from ._config_errors import choices
from ._site import absent_package


class Parameter(NamedTuple):
    """One key: its annotation and its default, each `inspect.Parameter.empty` where there is none."""

    annotation: Any
    default: Any = inspect.Parameter.empty

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty


class Signature(NamedTuple):
    """The keys of a constructor; `positional` are those that `_args_` fills; `is_open` accepts further ones."""

    parameters: Mapping[str, Parameter]
    positional: tuple[str, ...]
    is_open: bool


@cache
def resolve(target: str) -> Callable[..., Any]:
    """Imports what a `_target_` names.

    Raises:
        ValueError: If there is no such module or name, or it cannot be called.
    """
    parts = target.split(".")
    if not all(part.isidentifier() for part in parts) or len(parts) < 2:
        raise ValueError(f"must be a dotted path such as package.module.Name, got {target!r}")
    module, rest = _import_longest(parts)
    found: Any = module
    for position, name in enumerate(rest):
        if not hasattr(found, name):
            owner = ".".join(parts[: len(parts) - len(rest) + position])
            public = [candidate for candidate in dir(found) if not candidate.startswith("_")]
            close = choices(name, public).partition(" valid:")[0] if public else ""
            remedy = f"; {close}" if close.startswith("did") else ""
            raise ValueError(f"`{owner}` has no `{name}`{remedy}")
        found = getattr(found, name)
    if not callable(found):
        raise ValueError(f"must name a class or a function, but {target} is a {type(found).__name__}")
    return found


def _import_longest(parts: list[str]) -> tuple[Any, list[str]]:
    """The module that the longest possible head of `parts` names, and the names that remain."""
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            return importlib.import_module(name), parts[length:]
        except ImportError as error:
            missing = getattr(error, "name", None) or ""
            if isinstance(error, ModuleNotFoundError) and (name == missing or name.startswith(f"{missing}.")):
                continue
            raise ValueError(f"cannot be imported: {error}") from error
    raise ValueError(absent_package(parts[0]))


@cache
def signature_of(target: str) -> Signature:
    """The signature behind a `_target_`.

    Raises:
        ValueError: If the target cannot be resolved, or has no signature to read.
    """
    function = resolve(target)
    try:
        parameters = inspect.signature(function).parameters
    except (ValueError, TypeError) as error:
        raise ValueError(f"{target} has no signature that its keys could be checked against") from error
    hints = _hints(function)
    keys, positional, is_open = {}, [], False
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            if parameter.kind is not parameter.KEYWORD_ONLY:
                positional.append(name)
            keys[name] = Parameter(hints.get(name, parameter.annotation), parameter.default)
    return Signature(keys, tuple(positional), is_open)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Evaluated annotations, or none where a third party's cannot be evaluated outside its module."""
    try:
        return typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except (NameError, TypeError, AttributeError):
        return {}
