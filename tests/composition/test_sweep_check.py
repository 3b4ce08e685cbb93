"""The values of a sweep that are checked without Hydra's parser."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from simplexity.composition import _sweep_check
from simplexity.composition._sweep_check import _is_integer
from tests.running.program import call_program


@pytest.mark.parametrize(
    ("text", "is_integer"),
    [("0", True), ("7", True), ("9" * 18, True), ("007", False), ("-1", False), ("1e3", False), ("\u0663", False)],
)
def test_an_integer_is_what_the_parser_reads(text, is_integer):
    assert bool(_is_integer(text)) is is_integer
    if is_integer:
        assert OverridesParser.create().parse_override(f"seed={text}").value() == int(text)


def test_a_sweeps_integers_are_checked_as_by_hydras_parser(tmp_path, monkeypatch, capfd):
    command = ("train_model", "--multirun", "training.batch_size=4,0,8,9.5", "training.sequence_len=3,0", "seed=1,2")

    monkeypatch.chdir(tmp_path)

    def answer():
        assert call_program(*command) == 2
        return capfd.readouterr().err

    quick = answer()
    assert "`training.batch_size`" in quick
    assert "`training.sequence_len`" in quick
    monkeypatch.setattr(_sweep_check, "_is_integer", lambda text: None)
    assert answer() == quick
