"""The program behind both scripts: arguments in, a run or a sweep, an exit code out."""

import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from simplexity.cluster import step_tasks
from simplexity.composition import (
    CONFIG_MODULE,
    ConfigError,
    Problem,
    check,
    describe_error,
    ignore_equal_names,
    is_mistake,
    rewrite,
    with_base_run,
)
from simplexity.host import PreemptionGuard, configure_accelerator

from ._command_line import FULL_ERROR, all_mistakes, composes_once, hydra_raises, parse, print_help, starts_runs
from ._failures import log_failure, report
from ._outcome import exit_process
from ._processes import in_all_tasks
from ._start import StartCheck, remove_empty_folders

# Hydra makes the run's folder before it calls the task. What must come before that is a callback, and Hydra takes
# callbacks by name only.
_START_CHECK = f"++hydra.callbacks.start._target_={StartCheck.__module__}.{StartCheck.__name__}"
_NO_SWEEP = (
    "`--multirun` must not be run by several tasks of a job step: it starts its runs itself; call it without srun"
)


def entrypoint(config_name: str, guard: PreemptionGuard) -> NoReturn:
    """Runs the program on the process's arguments and ends the process with its exit code.

    Args:
        config_name: Primary config, in simplexity/configs.
        guard: Installed before the imports that take long.
    """
    configure_accelerator()
    exit_process(in_all_tasks(lambda: run(config_name, sys.argv[1:], guard), guard), guard)


def run(config_name: str, arguments: Sequence[str], guard: PreemptionGuard) -> int:
    """Runs the program: `StartCheck` before Hydra makes the run's folder, `Task` in it.

    Args:
        config_name: Primary config, unless `--config-name` is among the arguments.
        arguments: Hydra's flags, and overrides.
        guard: Installed; knows whether a stop was requested.

    Returns:
        0 complete, 1 failed, 2 a mistake in the command or the config, 85 to be started again.
    """
    full_errors = os.environ.get(FULL_ERROR) == "1"
    try:
        config_name, arguments = with_base_run(config_name, rewrite(arguments))
        parsed, arguments = parse(arguments)
        if parsed.multirun and step_tasks() is not None:
            raise ConfigError([Problem("command line", _NO_SWEEP)])
        composing = nullcontext() if parsed.multirun else composes_once()
        with hydra_raises(), composing, warnings.catch_warnings():
            ignore_equal_names()
            sys.argv[1:] = [*arguments, _START_CHECK] if starts_runs(parsed) else arguments
            decorate = hydra.main(config_path=f"pkg://{CONFIG_MODULE}", config_name=config_name, version_base="1.3")
            program = decorate(Task(guard, full_errors))
            if parsed.help:
                print_help(program)
            else:
                program()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:
        if is_mistake(error):
            error = all_mistakes(error, parsed.config_name or config_name, parsed)
        return report(error, full_errors=full_errors)
    finally:
        remove_empty_folders()
    return 0


class Task:
    """One run, in the folder that Hydra has made for it.

    Args:
        guard: Installed; knows whether a stop was requested.
        full_errors: Whether to print the traceback of any error.

    Attributes:
        built: The `Experiment` that `StartCheck` has built from the run's config; None if it has not seen that
            config, which is one of several runs that Hydra's own launcher calls one after the other.
    """

    def __init__(self, guard: PreemptionGuard, full_errors: bool):
        self.built: Any = None
        self._guard = guard
        self._full_errors = full_errors

    def __call__(self, config: DictConfig) -> float | None:
        """Returns the final loss, which a sweeper minimises."""
        hydra_config = HydraConfig.get()
        run_dir = Path(hydra_config.runtime.output_dir)
        try:
            if self.built is None and (problems := check(config)):
                raise ConfigError(problems)
            from ._execute import execute  # jax comes with it, and a config with mistakes must not wait for jax

            result = execute(run_dir, self._guard, config, self.built)
        except Exception as error:
            log_failure(error)
            if hydra_config.mode == RunMode.MULTIRUN:
                # The sweeper decides what becomes of the others; it keeps only the exception.
                text = f"{run_dir}: {describe_error(error)}"
                raise error if isinstance(error, ConfigError) else RuntimeError(text) from error
            # Hydra would report an exception on further lines, so the process ends from here.
            raise SystemExit(report(error, full_errors=self._full_errors)) from error
        if result.exit_code != 0:
            raise SystemExit(result.exit_code)
        return result.final_loss
