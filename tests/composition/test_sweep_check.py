"""The values of a sweep that are checked without Hydra's parser."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from simplexity.composition._sweep_check import _is_integer


@pytest.mark.parametrize(
    ("text", "is_integer"),
    [("0", True), ("7", True), ("9" * 18, True), ("007", False), ("-1", False), ("1e3", False), ("\u0663", False)],
)
def test_an_integer_is_what_the_parser_reads(text, is_integer):
    assert bool(_is_integer(text)) is is_integer
    if is_integer:
        assert OverridesParser.create().parse_override(f"seed={text}").value() == int(text)
