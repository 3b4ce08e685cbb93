"""The processes that can be chosen by name: their parameters, docstrings and sources.

`simplexity processes` prints them, and docs/processes.md is made of them.
"""

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from simplexity import generative_processes
from simplexity.composition import expand_processes, instantiate
from simplexity.generative_processes import Estimate, GenerativeProcess, entropy_rate

ARXIV = re.compile(r"arXiv:([\w-]+/\d+|\d+\.\d+)")
_SECTION = re.compile(r"^(Args|Returns|Raises|References):\n", re.MULTILINE)
# Below half a unit of the last of five decimals, an error does not show.
_LEAST_ERROR = 5e-6


class NamedProcess(NamedTuple):
    """A packaged process with the parameters of its config."""

    name: str
    process: GenerativeProcess
    parameters: Mapping[str, Any]
    sections: Mapping[str, str]
    """Of the docstring by their titles; what stands before the first has the title ""."""

    @property
    def parameters_text(self) -> str:
        """The parameters as `name=value`, with commas in between."""
        return ", ".join(f"{name}={value_text(value)}" for name, value in self.parameters.items())

    @property
    def entropy_rate(self) -> Estimate:
        """Nats per token; it takes a second where it has no closed form."""
        return entropy_rate(self.process)

    @property
    def sources(self) -> tuple[str, ...]:
        """Numbers of arXiv where there are any, else what the references begin with."""
        references = self.sections["References"]
        found = tuple(dict.fromkeys(match[0] for match in ARXIV.finditer(references)))
        return found or (re.split(r"[,.]", references, maxsplit=1)[0],)


def packaged_processes() -> Iterator[NamedProcess]:
    """All packaged processes in alphabetical order."""
    folder = Path(str(files("simplexity.configs"))) / "generative_process"
    for path in sorted(folder.glob("*.yaml")):
        section: Any = OmegaConf.to_container(OmegaConf.load(path).instance)
        config = expand_processes(section)
        values = {name: value for name, value in config.items() if name != "_target_"}
        yield NamedProcess(path.stem, instantiate(config), values, docstring_sections(path.stem))


def docstring_sections(name: str) -> dict[str, str]:
    """The sections of a packaged process's docstring by their titles; empty for a process of the user's own."""
    function = getattr(generative_processes, name, None)
    if not inspect.isfunction(function):
        return {}
    parts = _SECTION.split(inspect.getdoc(function) or "")
    return {title: textwrap.dedent(text).strip() for title, text in zip(["", *parts[1::2]], parts[::2], strict=True)}


def value_text(value: Any) -> str:
    """A parameter as Python would have it: lists in brackets, a process by its name and parameters."""
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, dict) and "_target_" in value:
        arguments = [f"{name}={value_text(inner)}" for name, inner in value.items() if name != "_target_"]
        return f"{value['_target_'].rpartition('.')[2]}({', '.join(arguments)})"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def estimate_text(estimate: Estimate) -> str:
    """An entropy with as many digits as are known, and its error where that would show."""
    if estimate.error < _LEAST_ERROR:
        return f"{estimate.value:.5f}"
    error = f"{estimate.error:.0e}"
    decimals = -int(error.partition("e")[2])
    return f"{estimate.value:.{decimals}f} ± {float(error):.{decimals}f}"
