"""Writes docs/processes.md, the reference of the packaged processes, from their docstrings and their configs.

python docs/generate_processes.py
"""

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from simplexity import generative_processes
from simplexity.generative_processes import Estimate, entropy_rate

PAGE = Path(__file__).parent / "processes.md"
CONFIGS = Path(__file__).parent.parent / "simplexity" / "configs" / "generative_process"
_INTRODUCTION = """\
# Processes

<!-- Written by `make docs` from the code. Change the docstrings or the configs, not this page. -->

Each process is chosen with `training_data_generator=NAME`, and a parameter is set with
`training_data_generator.instance.PARAMETER=VALUE`. The table has the values for the default parameters.

- An *HMM* has hidden states and labelled transition matrices `T[x]`: `T[x][i, j]` is the probability to emit token `x`
  and move to state `j`, from state `i`. A *GHMM* (generalized hidden Markov model) follows the same rules with matrices
  that may have negative entries, so that its states are predictive vectors and not distributions over hidden states.
- Composites: a *Product* has independent factors; in *CoupledFactors* the tokens of some factors choose the matrices of
  others; a *NoisyProduct* has noise on its joint token. Their states are the numbers that an observer keeps.
- The *entropy rate* is the loss per token that no model can beat on a long sequence, in nats. It is exact to the digits
  shown unless an error stands beside it. `simplexity.generative_processes.entropy_rate` computes it for any process.
- A process is *unifilar* if the hidden state and the token determine the next hidden state. In the formulas, `pi` is
  the stationary distribution over the hidden states, and `H(p)` is the entropy of a coin with the probabilities `p` and
  `1 - p`, in nats.

A process of your own needs no code: `configs/generative_process/my_custom_data.yaml` gives one as matrices, and the
composites in this table are made of any other processes. This file, `configs/generative_process/two_walks.yaml`, is all
that `training_data_generator=two_walks` needs, for a process of 3 x 4 x 4 = 48 tokens:

```yaml
instance:
  _target_: simplexity.generative_processes.product
  factors:
    - {_target_: simplexity.generative_processes.mess3, x: 0.15, a: 0.6}
    - {_target_: simplexity.generative_processes.tom_quantum, alpha: 1.0, beta: 3.0}
    - {_target_: simplexity.generative_processes.tom_quantum, alpha: 1.0, beta: 3.0}
bos_token: auto
eos_token: null
```

The belief states of a composite are its factors' one after another. `process.factor_beliefs(beliefs)` has that of each
factor, and `process.joint_beliefs(beliefs)` that of all together.
"""
_HEADER = """\
| Process | Kind | States | Tokens | Default parameters | Entropy rate (nats) | Source |
|---|---|---|---|---|---|---|
"""
_SECTION = re.compile(r"^(Args|Returns|Raises|References):\n", re.MULTILINE)
_ARXIV = re.compile(r"arXiv:([\w-]+/\d+|\d+\.\d+)")
# Below half a unit of the last of five decimals, an error does not show.
_LEAST_ERROR = 5e-6


def page() -> str:
    """The text of docs/processes.md."""
    rows, chapters = [], []
    for path in sorted(CONFIGS.glob("*.yaml")):
        config: Any = OmegaConf.to_container(OmegaConf.load(path).instance)
        process, values = instantiate(config, _convert_="all"), {k: v for k, v in config.items() if k != "_target_"}
        sections = _sections(getattr(generative_processes, path.stem))
        cells = (
            f"[{path.stem}](#{path.stem})",
            type(process).__name__,
            str(process.num_states),
            str(process.vocab_size),
            ", ".join(f"`{name}={_value(value)}`" for name, value in values.items()),
            _rate(entropy_rate(process)),
            _short_source(sections["References"]),
        )
        rows.append(f"| {' | '.join(cells)} |\n")
        chapters.append(_chapter(path.stem, sections, values))
    return "\n".join([_INTRODUCTION, _HEADER + "".join(rows), *chapters])


def _chapter(name: str, sections: dict[str, str], values: dict[str, Any]) -> str:
    text = f"## {name}\n\n{sections['']}\n"
    if values:
        text += "\n" + "".join(
            f"- `{parameter}` (default `{_value(value)}`): {_parameter(sections['Args'], parameter)}\n"
            for parameter, value in values.items()
        )
    return f"{text}\n{_linked('Source: ' + sections['References'])}\n"


def _sections(function: object) -> dict[str, str]:
    """A docstring's sections by their titles; what stands before the first has the title ""."""
    parts = _SECTION.split(inspect.getdoc(function) or "")
    return {title: textwrap.dedent(text).strip() for title, text in zip(["", *parts[1::2]], parts[::2], strict=True)}


def _parameter(section: str, name: str) -> str:
    """What the section Args says of a parameter; the following lines of an entry are indented."""
    entry = re.search(rf"^{name}: (.*(?:\n .*)*)", section, re.MULTILINE)
    if entry is None:
        raise ValueError(f"the docstring says nothing of the parameter `{name}`")
    return re.sub(r"\n\s+", "\n  ", entry[1])


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        arguments = [f"{name}={_value(inner)}" for name, inner in value.items() if name != "_target_"]
        return f"{value['_target_'].rpartition('.')[2]}({', '.join(arguments)})"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _rate(rate: Estimate) -> str:
    if rate.error < _LEAST_ERROR:
        return f"{rate.value:.5f}"
    error = f"{rate.error:.0e}"
    decimals = -int(error.partition("e")[2])
    return f"{rate.value:.{decimals}f} ± {float(error):.{decimals}f}"


def _short_source(references: str) -> str:
    """Links where there are any, else what the references begin with."""
    links = [_linked(found[0]) for found in _ARXIV.finditer(references)]
    return ", ".join(dict.fromkeys(links)) or re.split(r"[,.]", references, maxsplit=1)[0]


def _linked(text: str) -> str:
    return _ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
