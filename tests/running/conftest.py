"""A run that only computes a number, in place of training."""

import sys
from types import ModuleType, SimpleNamespace

import pytest


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
        module = ModuleType(f"simplexity.running.{name}")
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return record
