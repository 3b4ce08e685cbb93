"""A site's folder with a process and a model of its own, and a body that only computes a number."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

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


@pytest.fixture
def body(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Replaces the training: the final loss is the learning rate's distance from 0.003. Records what it ran."""
    from simplexity.composition import load_frozen
    from simplexity.composition._frozen import freeze

    record = SimpleNamespace(run_dirs=[], configs=[], fail=None, exit_code=0)

    def execute(run_dir, guard, new_config):
        freeze(new_config, run_dir)
        record.run_dirs.append(run_dir)
        record.configs.append(load_frozen(run_dir))
        if record.fail is not None:
            record.fail(record.configs[-1])
        loss = abs(record.configs[-1].training.optimizer.instance.learning_rate - 0.003)
        return SimpleNamespace(exit_code=record.exit_code, final_loss=loss)

    stand_ins = {
        "_execute": {"execute": execute},
        "_build": {"build": lambda config: None},
        "_weights": {"require_weights": lambda config, experiment, run_dir: None},
    }
    for name, attributes in stand_ins.items():
        module = ModuleType(f"simplexity.composition.{name}")
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return record
