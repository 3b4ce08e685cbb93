"""`simplexity processes` and `simplexity process NAME`: all processes in a table, and one of them exactly."""

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
from simplexity.process_table import docstring_sections, estimate_text, packaged_processes, value_text
from simplexity.runs import ExitCode

# A presentation is followed to so many tokens, or until it has more successors of states than this.
_DEPTH, _MOST_SUCCESSORS = 60, 30_000
# The columns of a terminal, how many numbers have room there, and the most tokens whose matrices are shown.
_WIDTH, _MOST_NUMBERS, _MOST_TOKENS = 80, 7, 12
_GENERATOR = "training_data_generator"
_INSTANCE = f"{_GENERATOR}.instance"


def print_process(name: str | None, parameters: Sequence[str], length: int, figure: Path | None) -> ExitCode:
    """Prints a table of the packaged processes, or all that is known of one process.

    Args:
        name: A packaged process, or one of the site's configs; None for the table.
        parameters: `key=value`, instead of the values of its config.
        length: The last of the myopic entropies.
        figure: The PNG to draw its graph and mixed states into; None for none.

    Raises:
        ValueError: If there is no such process, or a parameter is wrong.
    """
    if length < 1:
        raise ValueError(f"`--length` must be at least 1, got {length}")
    for line in _table_lines() if name is None else _process_lines(name, parameters, length, figure):
        print(line, flush=True)
    return ExitCode.COMPLETE


def _table_lines() -> Iterator[str]:
    # One by one: an entropy rate without a closed form takes a second.
    yield f"{'process':<20} {'kind':<14} {'states':>6} {'tokens':>6}  {'entropy rate':<18} {'source':<31} parameters"
    for named in packaged_processes():
        process = named.process
        source = textwrap.shorten(named.sources[0], 31, placeholder=" ...")
        yield (
            f"{named.name:<20} {type(process).__name__:<14} {process.num_states:>6} {process.vocab_size:>6}  "
            f"{estimate_text(named.entropy_rate):<18} {source:<31} {named.parameters_text}"
        ).rstrip()


def _process_lines(name: str, parameters: Sequence[str], length: int, figure: Path | None) -> Iterator[str]:
    values, process = _compose(name, parameters)
    sections = docstring_sections(name)
    arguments = ", ".join(f"{key}={value_text(value)}" for key, value in values.items() if key != "_target_")
    sizes = f"{_count(process.num_states, 'state')}, {_count(process.vocab_size, 'token')}"
    yield _wrapped(f"{name}({arguments}): {type(process).__name__}, {sizes}")
    if sections:
        yield ""
        yield _wrapped(sections[""].partition("\n\n")[0])
        yield _wrapped(f"Source: {sections['References']}")
    yield from _tables(process)
    yield f"\nentropy rate: {estimate_text(entropy_rate(process))} nats per token"
    yield f"{'t':>5} {'h(t) = H(X_t | X_1 ... X_t-1)':>30} {'error':>8}"
    for position, (value, error) in enumerate(myopic_entropies(process, length), start=1):
        yield f"{position:>5} {value:>30.6f} {error:>8.0e}" if error else f"{position:>5} {value:>30.6f} {'exact':>8}"
    presentation = mixed_state_presentation(process, _DEPTH, max_states=_MOST_SUCCESSORS // process.vocab_size)
    yield ""
    yield from _mixed_states(process, presentation)
    if figure is not None:
        # Matplotlib.
        from simplexity.figures import draw_process

        most = _MOST_SUCCESSORS // process.vocab_size
        why_not = f"no picture: after one token there may be more mixed states than the {most} that are followed"
        yield why_not if draw_process(presentation, figure) is None else f"picture: {figure}"


def _compose(name: str, parameters: Sequence[str]) -> tuple[dict[str, Any], GenerativeProcess]:
    overrides = [f"training_data_generator={name}"]
    for parameter in parameters:
        if "=" not in parameter:
            raise ValueError(f"`{parameter}` must be PARAMETER=VALUE, as in p=0.3")
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
        yield "\nIts joint states and tokens are too many to be shown as matrices."
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
    if not presentation.is_closed:
        yield f"{_count(num_states, 'mixed state')} up to depth {depth}, and more beyond"
        return
    yield f"{_count(num_states, 'mixed state')}, {presentation.is_recurrent.sum()} recurrent"
    if not is_ergodic(process):
        return
    machine = epsilon_machine(presentation)
    yield f"epsilon machine: {_count(machine.num_states, 'causal state')}"
    # Rounding, or a negative zero, must not show.
    yield f"statistical complexity: {abs(machine.statistical_complexity):.6f} nats"
    if _is_stationary(process):
        yield f"excess entropy: {abs(presentation.excess_entropy()):.6f} nats"


def _wrapped(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
