from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Optional

import jax
import numpy as np
import pytest
from jax.typing import ArrayLike
from jaxtyping import Float

from simplexity.composition._types import ABSENT, describe_type, describe_value, fits

Color = Enum("Color", ["red", "green"])
SECTION = {"_target_": "package.Name"}


class Base:
    pass


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (int, [0, -3], [True, 1.0, "1", None, [1]]),
        (float, [1, 0.5], [True, "1e-3", None]),
        (bool, [True, False], [0, "true", None]),
        (str, ["a", ""], [1, None]),
        (Path, ["folder"], [1]),
        (int | None, [3, None], ["null", 0.5]),
        (Optional[float], [None, 2], [False]),  # noqa: UP045
        (Literal["learned", "rotary"], ["learned"], ["rotatory", 1]),
        (int | Literal["auto"] | None, ["auto", None, 4], ["atuo", True]),
        (Sequence[int], [[], [1, 2]], [3, "12", [1.5], [True]]),
        (tuple[int, str], [[1, "a"]], [[1], ["a", 1]]),
        (Mapping[str, int], [{"a": 1}], [{"a": "b"}, [1]]),
        (Float[np.ndarray, "rows columns"], [[[0.5, 1]], 3], [[["a"]], True, None]),
        (Literal["one"] | float | Float[np.ndarray, ""], ["one", 0.5, 1], ["two", [0.5], True, None]),
        (ArrayLike, [0.5, 3, [1, 2]], [True, "0.5"]),
        (jax.Array, [[1.0], SECTION], ["1"]),
        (float | Callable[[int], float], [0.1, SECTION], [True, "x"]),
        (Base, [SECTION], [3, "x", {"a": 1}, None]),
        (Sequence[Base], [[SECTION], []], [[3], SECTION["_target_"]]),
        (Color, ["red"], ["blue", 1]),
        (Any, [None, 1, "a", []], []),
    ],
)
def test_fits(annotation, good, bad):
    assert [value for value in good if not fits(value, annotation)] == []
    assert [value for value in bad if fits(value, annotation)] == []


def test_what_cannot_be_had_fits_everywhere():
    assert fits(ABSENT, int)
    assert fits([ABSENT, 1], Sequence[int])


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int | None, "an integer or null"),
        (Literal["learned", "rotary"], "one of learned, rotary"),
        (int | Literal["auto"], "an integer or auto"),
        (ArrayLike, "a number"),
        (Sequence[int], "a list of integers"),
        (list, "a list"),
        (Mapping[str, int], "a section"),
        (Float[np.ndarray, "a b"], "a list of numbers"),
        (Color, "one of red, green"),
        (Base | None, "a section with a `_target_` or null"),
    ],
)
def test_describe_type(annotation, words):
    assert describe_type(annotation) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(1, "1"), (True, "true"), (None, "null"), ("1", "the string '1'"), ({}, "a section"), ([1] * 99, "[1, 1,")],
)
def test_describe_value(value, words):
    assert describe_value(value).startswith(words)
    assert len(describe_value(value)) < 70
