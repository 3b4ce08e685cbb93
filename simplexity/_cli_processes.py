"""`simplexity process NAME`: one process exactly."""

import os
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from omegaconf import OmegaConf

from simplexity.composition import ConfigError, check, compose, expand_processes, instantiate
from simplexity.generative_processes import (
    GenerativeProcess,
    MixedStatePresentation,
    entropy_rate,
    epsilon_machine,
    is_ergodic,
    mixed_state_presentation,
    myopic_entropies,
    with_initial_state,
)
from simplexity.process_rows import estimate_text, value_text
from simplexity.process_table import docstring_sections
from simplexity.runs import ExitCode, counted

# A presentation is followed to so many tokens, or until it has more successors of states than this.
_DEPTH, _MOST_SUCCESSORS = 60, 30_000
# The columns of a terminal, how many numbers have room there, and the most tokens whose matrices are shown.
_WIDTH, _MOST_NUMBERS, _MOST_TOKENS = 80, 7, 12
# Entropies of more positions than any model reads; a number with zeros too many would take all memory.
_LONGEST = 100_000
# What the picture may be, beside its SVG.
_PICTURES = (".png", ".pdf", ".svg")
_GENERATOR = "training_data_generator"
_INSTANCE = f"{_GENERATOR}.instance"


def print_process(words: Sequence[str], length: int, figure: Path | None) -> ExitCode:
    """Prints all that is known of a process.

    Args:
        words: A packaged process, or one of the site's configs, and `key=value` instead of the values of its config;
            in any order.
        length: The last of the myopic entropies.
        figure: The PNG to draw its graph and mixed states into; None for none.

    Raises:
        ValueError: If there is no such process, a parameter is wrong, or the picture cannot be written.
    """
    if not 1 <= length <= _LONGEST:
        raise ValueError(f"`--length` must lie between 1 and {_LONGEST:,}, got {length}")
    names = [word for word in words if "=" not in word]
    if not names:
        raise ValueError("name a process, as in `simplexity process mess3`; `simplexity processes` lists them")
    if len(names) > 1:
        raise ValueError(f"`{names[1]}` must be PARAMETER=VALUE, as in p=0.3: the process is {names[0]}")
    if figure is not None:
        _check_figure(figure)
    for line in _process_lines(names[0], [word for word in words if "=" in word], length, figure):
        print(line, flush=True)
    return ExitCode.COMPLETE


def _check_figure(path: Path) -> None:
    """Checks before anything is computed, which may take a minute, that a picture can be written."""
    if path.suffix.lower() not in _PICTURES:
        raise ValueError(f"`--figure` must end in {' or '.join(_PICTURES)}, got {path}")
    if path.is_dir():
        raise ValueError(f"`--figure`: {path} is a folder")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise ValueError(f"`--figure`: {path} cannot be written: {folder} is not a folder")
    # The SVG is written too. Folders that are missing are made.
    for place in (folder, path, path.with_suffix(".svg")):
        if place.exists() and not os.access(place, os.W_OK):
            raise ValueError(f"`--figure`: {path} cannot be written: {place} is not writable")


def _process_lines(name: str, parameters: Sequence[str], length: int, figure: Path | None) -> Iterator[str]:
    values, process = _compose(name, parameters)
    sections = docstring_sections(name)
    arguments = ", ".join(f"{key}={value_text(value)}" for key, value in values.items() if key != "_target_")
    sizes = f"{counted(process.num_states, 'state')}, {counted(process.vocab_size, 'token')}"
    yield _wrapped(f"{name}({arguments}): {type(process).__name__}, {sizes}")
    if sections:
        yield ""
        yield _wrapped(sections[""].partition("\n\n")[0])
        yield _wrapped(f"Source: {sections['References']}")
    yield from _tables(process)
    yield f"\nentropy rate: {estimate_text(*entropy_rate(process))} nats per token"
    yield f"{'t':>5} {'h(t) = H(X_t | X_1 ... X_t-1)':>30} {'error':>8}"
    for position, (value, error) in enumerate(myopic_entropies(process, length), start=1):
        yield f"{position:>5} {value:>30.6f} {error:>8.0e}" if error else f"{position:>5} {value:>30.6f} {'exact':>8}"
    presentation = mixed_state_presentation(process, _DEPTH, max_states=_MOST_SUCCESSORS // process.vocab_size)
    yield ""
    yield from _mixed_states(process, presentation)
    if figure is not None:
        # Matplotlib.
        from simplexity.figures import draw_process

        drawn = draw_process(presentation, figure)
        yield f"no picture: {_why_no_picture(process, presentation)}" if drawn is None else f"picture: {figure}"


def _compose(name: str, parameters: Sequence[str]) -> tuple[dict[str, Any], GenerativeProcess]:
    overrides = [f"training_data_generator={name}"]
    for parameter in parameters:
        # A site's file may lack the key.
        section = f"++{_GENERATOR}" if parameter.startswith("initial_state=") else _INSTANCE
        overrides.append(f"{section}.{parameter}")
    try:
        config = compose("experiment", overrides)
        problems = check(config, only="training_data_generator")
        if problems:
            raise ConfigError(problems)
        values: Any = OmegaConf.to_container(config.training_data_generator, resolve=True)
        process = instantiate(values["instance"])
        if values.get("initial_state") is not None:
            process = with_initial_state(process, values["initial_state"])
    except ConfigError as error:
        # The config's keys are not what was typed.
        message = str(error).replace(f"{_INSTANCE}.", "").replace(f"{_GENERATOR}.", "")
        raise ValueError(message.replace(f"`{_GENERATOR}`: ", "process: ")) from None
    return expand_processes(values["instance"]), process


def _tables(process: GenerativeProcess) -> Iterator[str]:
    matrices = process.as_matrices()
    if matrices is None:
        yield "\nNo matrices are shown: those of all factors together are too large, or do not exist."
        return
    yield f"\nstationary state: {_row(matrices.stationary_state)}"
    if not _is_stationary(process):
        yield f"initial state:    {_row(matrices.initial_state)}"
    if len(matrices.stationary_state) > _MOST_NUMBERS or matrices.vocab_size > _MOST_TOKENS:
        sizes = f"{len(matrices.stationary_state)} x {len(matrices.stationary_state)} numbers"
        yield f"matrices: {matrices.vocab_size} of {sizes}, too many to be shown"
        return
    for token, matrix in enumerate(matrices.transition_matrices):
        yield f"T[{token}]:"
        yield from (f"  {_row(row)}" for row in matrix)


def _is_stationary(process: GenerativeProcess) -> bool:
    matrices = process.as_matrices()
    return matrices is not None and bool(np.abs(matrices.initial_state - matrices.stationary_state).max() < 1e-9)


def _row(numbers: Float[np.ndarray, " n"]) -> str:
    if len(numbers) <= _MOST_NUMBERS:
        return " ".join(f"{number + 0.0:.5f}".rjust(8) for number in numbers)
    # Behind a title, and with the number of them.
    return " ".join(f"{number + 0.0:.5f}" for number in numbers[: _MOST_NUMBERS - 3]) + f" ... ({len(numbers)} numbers)"


def _mixed_states(process: GenerativeProcess, presentation: MixedStatePresentation) -> Iterator[str]:
    num_states, depth = len(presentation.states), int(presentation.depths.max())
    if presentation.is_closed:
        yield f"{counted(num_states, 'mixed state')}, {presentation.is_recurrent.sum()} recurrent"
    else:
        yield f"{counted(num_states, 'mixed state')} up to depth {depth}, and more beyond"
    if not is_ergodic(process):
        return
    try:
        machine = epsilon_machine(presentation)
    except ValueError:
        # Endlessly many causal states, or none that are known.
        return
    yield f"epsilon machine: {counted(machine.num_states, 'causal state')}"
    # Rounding, or a negative zero, must not show.
    yield f"statistical complexity: {abs(machine.statistical_complexity):.6f} nats"
    if not _is_stationary(process):
        return
    excess = presentation.excess_entropy() if presentation.is_closed else machine.excess_entropy()
    if excess is not None:
        yield f"excess entropy: {abs(excess):.6f} nats"


def _why_no_picture(process: GenerativeProcess, presentation: MixedStatePresentation) -> str:
    if presentation.is_closed:
        return f"there is one mixed state, with more arrows to itself ({process.vocab_size}) than can be told apart"
    most = _MOST_SUCCESSORS // process.vocab_size
    return f"after one token there may be more mixed states than the {most} that are followed"


def _wrapped(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)
