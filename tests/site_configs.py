"""A site's folder of configs, with a process and a model of its own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_MODEL = """
class Model:
    def __init__(self, hidden_size: int, num_layers: int, *, vocab_size: int, key):
        raise AssertionError("the check must not build models")
"""
_SITE = {
    "generative_process/site_coin.yaml": (
        "instance: {_target_: simplexity.generative_processes.coin, p: 0.5}\nbos_token: null\neos_token: null\n"
    ),
    # The packaged model, where there is one, wins.
    "predictive_model/gru.yaml": (
        "instance: {_target_: site_models.Model, hidden_size: 64, num_layers: 1}\n"
        "load_checkpoint_step: null\nload_checkpoint_from: null\n"
    ),
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder beside the site's folder of configs."""
    for name, text in {**_SITE, "site_models.py": _MODEL}.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("SIMPLEXITY_CONFIGS", str(tmp_path / "site"))
    current = tmp_path / "current"
    current.mkdir()
    monkeypatch.chdir(current)
    yield current
    sys.modules.pop("site_models", None)
