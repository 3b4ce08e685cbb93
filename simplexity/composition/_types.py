"""Whether a value from YAML fits an annotation, and how the annotation is put into words.

No library answers this question, because a value from YAML stands for the argument and need not be one. Of the 83
cases of tests/composition/test_types.py, beartype 0.23 answers 66 as we do; pydantic 2.14 answers 60, in strict mode
70, and 71 from JSON. To beartype, true is an int, 1 is no float, a string is no path, and a list is no tuple.
pydantic's lax mode accepts "1", 1.0 and true as 1. For both, a section with a `_target_` is no object, a list of
numbers is no array, and the name of an enum's member is no member. Such values stand at any depth of a union or a
list, so correcting a library's answers would mean walking through the annotation, as `fits` does.
"""

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from numbers import Number
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Union

import numpy as np
from jaxtyping import AbstractArray

_ANYTHING = (Any, object, inspect.Parameter.empty)


class Absent:
    """Stands for a value that is not there or cannot be had. It fits everywhere, so that the rest can be checked."""

    def __repr__(self) -> str:
        return "(absent)"


ABSENT: Final = Absent()


class _Scalar(NamedTuple):
    """Annotations of one kind of plain value, the types that YAML gives it, and its name."""

    annotations: tuple[type, ...]
    accepted: tuple[type, ...]
    name: str


# bool is an int to Python, and an int is a number to every user, hence the order.
_SCALARS = (
    _Scalar((bool, np.bool_), (bool,), "true or false"),
    _Scalar((int, np.integer), (int,), "an integer"),
    _Scalar((float, complex, np.number, Number), (int, float), "a number"),
    _Scalar((str, Path), (str,), "a string"),
)


def fits(value: Any, annotation: Any) -> bool:
    """Whether `value`, made of what YAML can say, is one that a parameter annotated so accepts.

    An integer is a number, but true and false are not, and neither is a string that looks like one. A section with a
    `_target_` fits whatever is not a plain scalar: its own keys are checked against its own signature. Annotations
    that cannot be read (unresolved names, type variables) accept everything.
    """
    annotation = _unwrap(annotation)
    if value is ABSENT or annotation in _ANYTHING or isinstance(annotation, str | typing.TypeVar | typing.ForwardRef):
        return True
    if annotation is None or annotation is types.NoneType:
        return value is None
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return any(fits(value, member) for member in _members(arguments))
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if _is_array(annotation):
        has_axes = getattr(annotation, "dims", None) != ()
        return (_is_numbers(value) and (has_axes or not isinstance(value, list))) or _has_target(value)
    scalar = _scalar(annotation)
    if scalar is not None:
        return isinstance(value, scalar.accepted) and isinstance(value, bool) <= (bool in scalar.accepted)
    return _fits_object(value, origin or annotation, arguments)


def wrong_entries(value: Any, annotation: Any) -> tuple[dict[str, Any], Any]:
    """The entries of a section that a mapping's annotation does not accept, and what it accepts."""
    annotation = _unwrap(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if not isinstance(value, Mapping) or not inspect.isclass(origin) or not issubclass(origin, Mapping):
        return {}, Any
    return {str(name): entry for name, entry in value.items() if not fits(entry, arguments[1])}, arguments[1]


def describe_type(annotation: Any) -> str:
    """The annotation as a person would say it: "an integer or null"."""
    annotation = _unwrap(annotation)
    if annotation is None or annotation is types.NoneType:
        return "null"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return _either([describe_type(member) for member in _members(arguments)])
    if origin is Literal:
        names = ", ".join(map(str, arguments))
        return f"one of {names}" if "," in names else names
    if _is_array(annotation):
        return "a list of numbers"
    scalar = _scalar(annotation)
    if scalar is not None:
        return scalar.name
    kind = origin or annotation
    if inspect.isclass(kind):
        if issubclass(kind, Enum):
            return f"one of {', '.join(kind.__members__)}"
        if issubclass(kind, Mapping):
            return "a section"
        if issubclass(kind, Sequence):
            return f"a list of {_plural(arguments[0])}" if len(arguments) > 0 else "a list"
    return "a section with a `_target_`"


def describe_value(value: Any) -> str:
    """A value as YAML would show it, shortened, strings and sections marked as such."""
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, str):
        return f"the string '{value}'"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _fits_object(value: Any, kind: Any, arguments: tuple[Any, ...]) -> bool:
    if not inspect.isclass(kind):
        return True
    if issubclass(kind, Enum):
        return isinstance(value, str) and value in kind.__members__
    if issubclass(kind, Mapping):
        item = arguments[1] if len(arguments) == 2 else Any
        return isinstance(value, Mapping) and all(fits(entry, item) for entry in value.values())
    if issubclass(kind, Sequence | set | frozenset):
        return _has_target(value) or (isinstance(value, list) and _fits_items(value, kind, arguments))
    return _has_target(value)


def _fits_items(value: list[Any], kind: type, arguments: tuple[Any, ...]) -> bool:
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        return len(value) == len(arguments) and all(map(fits, value, arguments))
    return not arguments or all(fits(entry, arguments[0]) for entry in value)


def _unwrap(annotation: Any) -> Any:
    if typing.get_origin(annotation) is typing.Annotated:
        return _unwrap(typing.get_args(annotation)[0])
    for attribute in ("__supertype__", "__value__"):  # NewType; a `type X = ...` alias of later Pythons
        if hasattr(annotation, attribute) and not inspect.isclass(annotation):
            return _unwrap(getattr(annotation, attribute))
    return annotation


def _members(arguments: tuple[Any, ...]) -> list[Any]:
    """The members of a union. ArrayLike lists bool beside the numbers; a config that gives true for one is wrong."""
    return [member for member in arguments if not (member in (bool, np.bool_) and float in arguments)]


def _either(names: list[str]) -> str:
    """Joins names; next to "a number", what is a special case of one in the eyes of a user goes without saying."""
    implied = ("an integer", "a list of numbers") if "a number" in names else ()
    return " or ".join(name for name in dict.fromkeys(names) if name not in implied)


def _scalar(annotation: Any) -> _Scalar | None:
    if not inspect.isclass(annotation) or issubclass(annotation, Enum):
        return None
    return next((scalar for scalar in _SCALARS if issubclass(annotation, scalar.annotations)), None)


def _is_array(annotation: Any) -> bool:
    if not inspect.isclass(annotation):
        return False
    return issubclass(annotation, AbstractArray | np.ndarray) or annotation.__module__.split(".")[0] in (
        "jax",
        "jaxlib",
    )


def _is_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_numbers, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _has_target(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _plural(annotation: Any) -> str:
    words = describe_type(annotation).split(" ", 1)
    return f"{words[1]}s" if words[0] in ("a", "an") and " " not in words[1] else describe_type(annotation)
