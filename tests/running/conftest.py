"""A run that only computes a number, in place of training."""

import logging
import sys
from types import ModuleType, SimpleNamespace

import pytest

from tests.running.program import call_program


@pytest.fixture
def body(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Replaces the training: the final loss is the learning rate's distance from 0.003. Records what it ran."""
    from simplexity.composition import freeze, load_frozen

    record = SimpleNamespace(run_dirs=[], configs=[], built=[], executed=[], fail=None, exit_code=0)

    def build(config):
        record.built.append(object())
        return record.built[-1]

    def execute(run_dir, guard, new_config, built):
        record.executed.append(built)
        freeze(new_config, run_dir)
        record.run_dirs.append(run_dir)
        record.configs.append(load_frozen(run_dir))
        if record.fail is not None:
            record.fail(record.configs[-1])
        loss = abs(record.configs[-1].training.optimizer.instance.learning_rate - 0.003)
        return SimpleNamespace(exit_code=record.exit_code, final_loss=loss)

    stand_ins = {
        "_execute": {"execute": execute},
        "_build": {"build": build},
        "_weights": {"require_weights": lambda config, experiment, run_dir: None},
    }
    for name, attributes in stand_ins.items():
        module = ModuleType(f"simplexity.running.{name}")
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return record


@pytest.fixture
def own_logging():
    """Puts the loggers back: a run sets its own handlers, one of which keeps its log open."""
    loggers = [logging.getLogger(name) for name in (None, "simplexity", "simplexity.failures")]
    found = [(list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, found, strict=True):
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture
def start(site, body, monkeypatch):
    """Arguments of the program run_experiment -> its exit code, in this process."""
    monkeypatch.setattr(sys, "argv", ["run_experiment.py"])

    return lambda *arguments: call_program("experiment", *arguments)
