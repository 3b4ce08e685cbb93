"""The command line of both scripts: Hydra's flags and overrides, its help, and every mistake in a command at once."""

import argparse
import difflib
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NoReturn

# Hydra has no public way to its parser, nor to the config that it has composed. Only here are these used: to parse the
# command as Hydra will, before Hydra does, and to compose once.
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.types import RunMode
from omegaconf import DictConfig

from simplexity.composition import (
    GENERATOR_GROUP,
    GENERATORS,
    ConfigError,
    Culprit,
    Problem,
    check,
    compose_leniently,
    explain,
)
from simplexity.runs import folder_problem

FULL_ERROR = "HYDRA_FULL_ERROR"
"""The environment variable with which Hydra, and so we, print tracebacks of errors that have one line otherwise."""


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parses as Hydra will, and moves the overrides behind the flags, because Hydra takes them in one row only.

    Args:
        arguments: Flags and overrides in any order.

    Returns:
        What Hydra's parser makes of them, and the same arguments in Hydra's order.

    Raises:
        ConfigError: If there is an unknown flag among them, or a flag lacks its value.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        unknown = re.fullmatch(r"unrecognized arguments: --([\w.-]+)(?:=(\S+))?.*", message)
        if unknown is not None:
            flags = re.findall(r"--([\w-]+)", parser.format_usage())
            close = difflib.get_close_matches(unknown[1], flags, n=1, cutoff=0.75)
            following = dict(itertools.pairwise(arguments)).get(f"--{unknown[1]}")
            if close:
                message += f"; did you mean --{close[0]}?"
            else:
                message += f"; keys of the config have no dashes: {unknown[1]}={unknown[2] or following or 'VALUE'}"
        raise ConfigError([Problem("command line", message)])

    parser.error = refuse
    parsed = parser.parse_intermixed_args(arguments)
    _check(parsed)
    pending, flags = list(parsed.overrides), []
    for argument in arguments:
        if pending and argument == pending[0]:
            pending.pop(0)
        else:
            flags.append(argument)
    return parsed, [*flags, *parsed.overrides]


def _check(parsed: argparse.Namespace) -> None:
    """Refuses what Hydra would not report in terms of what was typed."""
    if parsed.config_path is not None:
        message = "would take the place of the packaged configs; a folder of your own is added by --config-dir"
        raise ConfigError([Problem("--config-path", message)])
    if parsed.config_dir is not None and (problem := folder_problem(Path(parsed.config_dir), "config")):
        raise ConfigError([Problem("--config-dir", f"{parsed.config_dir}: {problem}")])
    for override in parsed.overrides:
        if override.startswith("="):
            raise ConfigError([Problem("command line", f"`{override}` has no key; write KEY{override}")])


def starts_runs(parsed: argparse.Namespace) -> bool:
    """Whether a command starts something, which Hydra's flags for help, completion and the like do not."""
    return not (
        parsed.help
        or parsed.hydra_help
        or parsed.cfg
        or parsed.info
        or parsed.shell_completion
        or parsed.experimental_rerun
    )


def print_help(program: Callable[[], Any]) -> None:
    """Prints Hydra's help, with the groups that are chosen by other names under the names that people type.

    Args:
        program: Calls Hydra, whose arguments ask for help.
    """
    with redirect_stdout(io.StringIO()) as printed, suppress(SystemExit):
        program()
    text = re.sub(rf"^{GENERATOR_GROUP}:", f"{', '.join(GENERATORS)}:", printed.getvalue(), flags=re.MULTILINE)
    sys.stdout.write(re.sub(r"^cluster:", "cluster (of hydra/launcher=slurm):", text, flags=re.MULTILINE))


def all_mistakes(error: Exception, config_name: str, parsed: argparse.Namespace) -> Exception:
    """A ConfigError with all mistakes in a command, of which Hydra names the first; another error if that is a bug.

    Args:
        error: Hydra's.
        config_name: Name of the primary config.
        parsed: The command.
    """
    try:
        config, problems = compose_leniently(
            config_name, parsed.overrides, config_dir=parsed.config_dir, sweeping=parsed.multirun
        )
    except Exception as worse:
        return worse
    problems += check(config)
    mistakes = ConfigError(problems or [explain(Culprit(config_name, error), None)])
    mistakes.__cause__ = error
    return mistakes


@contextmanager
def hydra_raises() -> Iterator[None]:
    """Makes Hydra raise its errors, within the `with` block, instead of printing them and ending the process."""
    before = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    finally:
        os.environ.pop(FULL_ERROR)
        if before is not None:
            os.environ[FULL_ERROR] = before


@contextmanager
def composes_once() -> Iterator[None]:
    """Makes Hydra run the config that it composes to read `hydra.mode` from, within the `with` block.

    Hydra composes it anew to run it, which takes a tenth of a second. If the command or the config asks for a sweep, or
    nothing can be composed, all is as without this.
    """
    usual = Hydra.get_mode

    def get_mode(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
        loader = self.config_loader
        try:
            config = loader.load_configuration(config_name, overrides, RunMode.RUN)
        except Exception:  # as Hydra does: it composes again, and that error is reported
            return usual(self, config_name, overrides)
        if config.hydra.mode == RunMode.MULTIRUN:
            return RunMode.MULTIRUN

        def composed(*_: Any, **__: Any) -> DictConfig:
            del loader.load_configuration  # whatever else is composed later is another config
            return config

        loader.load_configuration = composed
        return RunMode.RUN

    Hydra.get_mode = get_mode
    try:
        yield
    finally:
        Hydra.get_mode = usual
