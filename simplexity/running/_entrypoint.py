"""The program behind both scripts: arguments in, a run, an exit code out."""

import argparse
import io
import itertools
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from simplexity.cluster import step_tasks
from simplexity.composition import (
    CONFIG_MODULE,
    GENERATOR_GROUP,
    GENERATORS,
    ConfigError,
    Culprit,
    Problem,
    check,
    compose_leniently,
    describe_error,
    explain,
    ignore_equal_names,
    is_mistake,
    rewrite,
)
from simplexity.host import PreemptionGuard, configure_accelerator
from simplexity.runs import ExitCode, error_text

from ._outcome import exit_process
from ._processes import in_all_tasks
from ._start import remove_empty_folders

_FULL_ERROR = "HYDRA_FULL_ERROR"
_EXPECTED = (ConfigError, RuntimeError, OSError)
_NO_SWEEP = (
    "`--multirun` must not be run by several tasks of a job step: it starts its runs itself; call it without srun"
)
_failures = logging.getLogger("simplexity.failures")


def entrypoint(config_name: str, guard: PreemptionGuard) -> NoReturn:
    """Runs the program on the process's arguments and leaves with its exit code.

    Args:
        config_name: Primary config, in simplexity/configs.
        guard: Installed before the imports that take long.
    """
    configure_accelerator()
    exit_process(in_all_tasks(lambda: run(config_name, sys.argv[1:], guard), guard), guard)


def run(config_name: str, arguments: Sequence[str], guard: PreemptionGuard) -> int:
    """Runs the program.

    Args:
        config_name: Primary config, unless `--config-name` is among the arguments.
        arguments: Hydra's flags, and overrides.
        guard: Installed; what a run asks whether to leave.

    Returns:
        0 complete, 1 failed, 2 a mistake in the command or the config, 85 to be started again.
    """
    arguments = rewrite(arguments)
    full_errors = os.environ.get(_FULL_ERROR) == "1"

    def task(config: DictConfig) -> float | None:
        return _run_one(config, guard, full_errors)

    try:
        parsed, arguments = _parse(arguments)
        if parsed.multirun and step_tasks() is not None:
            raise ConfigError([Problem("command line", _NO_SWEEP)])
        with _hydra_raises(), warnings.catch_warnings():
            ignore_equal_names()
            sys.argv[1:] = arguments
            decorate = hydra.main(config_path=f"pkg://{CONFIG_MODULE}", config_name=config_name, version_base="1.3")
            if parsed.help:
                _print_help(decorate(task))
            else:
                decorate(task)()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except Exception as error:
        if is_mistake(error):
            error = _diagnosis(error, parsed.config_name or config_name, parsed)
        return _report(error, full_errors)
    finally:
        remove_empty_folders()
    return 0


def _print_help(program: Callable[[], Any]) -> None:
    """Hydra's help, with the groups that are chosen by other names under the names that people type."""
    with redirect_stdout(io.StringIO()) as printed, suppress(SystemExit):
        program()
    text = re.sub(rf"^{GENERATOR_GROUP}:", f"{', '.join(GENERATORS)}:", printed.getvalue(), flags=re.MULTILINE)
    sys.stdout.write(re.sub(r"^cluster:", "cluster (of hydra/launcher=slurm):", text, flags=re.MULTILINE))


def _run_one(config: DictConfig, guard: PreemptionGuard, full_errors: bool) -> float | None:
    """One run, in the directory that Hydra made for it. Returns the final loss, which a sweeper minimises."""
    hydra_config = HydraConfig.get()
    run_dir = Path(hydra_config.runtime.output_dir)
    try:
        problems = check(config)
        if problems:
            raise ConfigError(problems)
        from ._execute import execute  # the body, and with it jax: nothing that finding mistakes needs

        result = execute(run_dir, guard, config)
    except Exception as error:
        is_ours = not isinstance(error, _EXPECTED)
        _failures.error("%s", describe_error(error), exc_info=is_ours)
        if hydra_config.mode == RunMode.MULTIRUN:
            # The sweeper decides what becomes of the others; it keeps only the exception.
            raise (
                error if isinstance(error, ConfigError) else RuntimeError(f"{run_dir}: {describe_error(error)}")
            ) from error
        # Hydra would report an exception on further lines, so the process leaves from here.
        raise SystemExit(_report(error, full_errors)) from error
    if result.exit_code != 0:
        raise SystemExit(result.exit_code)
    return result.final_loss


def _report(error: Exception, full_errors: bool) -> int:
    """One line for what the user or the machine did, with a traceback before it for what can only be our mistake."""
    if full_errors or not isinstance(error, _EXPECTED):
        traceback.print_exception(error)
    sys.stderr.write(f"{error_text(describe_error(error), sys.stderr)}\n")
    return ExitCode.BAD_CONFIG if isinstance(error, ConfigError) else ExitCode.FAILED


def _diagnosis(error: Exception, config_name: str, arguments: argparse.Namespace) -> Exception:
    """A ConfigError with all mistakes in a command, of which Hydra names the first; another error if that is a bug."""
    try:
        config, problems = compose_leniently(
            config_name, arguments.overrides, config_dir=arguments.config_dir, sweeping=arguments.multirun
        )
    except Exception as worse:
        return worse
    problems += check(config)
    diagnosis = ConfigError(problems or [explain(Culprit(config_name, error), None)])
    diagnosis.__cause__ = error
    return diagnosis


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parses as Hydra will, and moves the overrides behind the flags, because Hydra takes them in one row only."""
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        unknown = re.fullmatch(r"unrecognized arguments: --([\w.]+)(?:=(\S+))?.*", message)
        if unknown is not None:
            following = dict(itertools.pairwise(arguments)).get(f"--{unknown[1]}")
            message += f"; keys of the config have no dashes: {unknown[1]}={unknown[2] or following or 'VALUE'}"
        raise ConfigError([Problem("command line", message)])

    parser.error = refuse
    parsed = parser.parse_intermixed_args(arguments)
    pending, flags = list(parsed.overrides), []
    for argument in arguments:
        if pending and argument == pending[0]:
            pending.pop(0)
        else:
            flags.append(argument)
    return parsed, [*flags, *parsed.overrides]


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Makes Hydra raise its errors instead of printing them and leaving."""
    before = os.environ.get(_FULL_ERROR)
    os.environ[_FULL_ERROR] = "1"
    try:
        yield
    finally:
        os.environ.pop(_FULL_ERROR)
        if before is not None:
            os.environ[_FULL_ERROR] = before
