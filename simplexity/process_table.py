"""The processes that can be chosen by name: their parameters, docstrings, sources and entropy rates.

docs/processes.md and the rows of `simplexity processes` are made of them.
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
from simplexity.generative_processes import GenerativeProcess, entropy_rate
from simplexity.process_rows import ProcessRow, rounded

ARXIV = re.compile(r"arXiv:([\w-]+/\d+|\d+\.\d+)")
_SECTION = re.compile(r"^(Args|Returns|Raises|References):\n", re.MULTILINE)


class NamedProcess(NamedTuple):
    """A packaged process with the parameters of its config."""

    name: str
    process: GenerativeProcess
    parameters: Mapping[str, Any]
    sections: Mapping[str, str]
    """Of the docstring by their titles; what stands before the first has the title ""."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Numbers of arXiv where there are any, else what the references begin with."""
        references = self.sections["References"]
        found = tuple(dict.fromkeys(match[0] for match in ARXIV.finditer(references)))
        return found or (re.split(r"[,.]", references, maxsplit=1)[0],)

    def row(self) -> ProcessRow:
        """Its row of the table; an entropy rate without a closed form takes seconds."""
        kind, num_states, vocab_size = type(self.process).__name__, self.process.num_states, self.process.vocab_size
        nats, error_nats = rounded(*entropy_rate(self.process))
        return ProcessRow(self.name, kind, num_states, vocab_size, nats, error_nats, self.parameters, self.sources)


def packaged_processes() -> Iterator[NamedProcess]:
    """All packaged processes in alphabetical order.

    Raises:
        ValueError: If the docstring of one does not say what its parameters are, or where it comes from.
    """
    folder = Path(str(files("simplexity.configs"))) / "generative_process"
    for path in sorted(folder.glob("*.yaml")):
        section: Any = OmegaConf.to_container(OmegaConf.load(path).instance)
        config = expand_processes(section)
        values = {name: value for name, value in config.items() if name != "_target_"}
        sections = docstring_sections(path.stem)
        for title in ("References", "Args") if values else ("References",):
            if title not in sections:
                raise ValueError(f"the docstring of `{path.stem}` needs a section {title}")
        yield NamedProcess(path.stem, instantiate(config), values, sections)


def docstring_sections(name: str) -> dict[str, str]:
    """The sections of a packaged process's docstring by their titles; empty for a process of the user's own."""
    function = getattr(generative_processes, name, None)
    if not inspect.isfunction(function):
        return {}
    parts = _SECTION.split(inspect.getdoc(function) or "")
    return {title: textwrap.dedent(text).strip() for title, text in zip(["", *parts[1::2]], parts[::2], strict=True)}
