"""Writes what is known of the packaged processes, from their docstrings, their configs and their entropy rates.

That is docs/processes.md, their reference, and simplexity/processes.json, the rows of `simplexity processes`.

python docs/generate_processes.py
"""

import re
from pathlib import Path

from simplexity import process_rows
from simplexity.process_rows import ProcessRow, estimate_text, rows_json, value_text
from simplexity.process_table import ARXIV, NamedProcess, packaged_processes

PAGE = Path(__file__).parent / "processes.md"
ROWS = Path(process_rows.__file__).parent / process_rows.FILE
_INTRODUCTION = """\
# Processes

<!-- Written by `make docs` from the code. Change the docstrings or the configs, not this page. -->

Each process is chosen with `training_data_generator=NAME`, and a parameter is set with
`training_data_generator.instance.PARAMETER=VALUE`. The table has the values for the default parameters; `simplexity
processes` prints it too. `simplexity process NAME PARAMETER=VALUE` shows one process exactly: its matrices, stationary
state, myopic entropies and mixed states, and with `--figure FILE.png` a picture of them.

- An *HMM* has hidden states and labelled transition matrices `T[x]`: `T[x][i, j]` is the probability to emit token `x`
  and move to state `j`, from state `i`. A *GHMM* (generalized hidden Markov model) follows the same rules with matrices
  that may have negative entries, so that its states are predictive vectors and not distributions over hidden states.
- Composites: a *Product* has independent factors; in *CoupledFactors* the tokens of some factors choose the matrices of
  others; a *NoisyProduct* has noise on its joint token. Their states are the numbers that an observer keeps.
- The *entropy rate* is the loss per token that no model can beat on a long sequence, in nats. It is exact to the digits
  shown unless an error stands beside it. `simplexity.generative_processes.entropy_rate` computes it for any process.
- A process is *unifilar* if the hidden state and the token determine the next hidden state. Its epsilon machine is
  finite: `simplexity process` prints the number of causal states, the statistical complexity, and the excess entropy
  where it is known, also where the mixed states on the way to the causal states are endlessly many.
- In the formulas, `pi` is the stationary distribution over the hidden states, and `H(p)` is the entropy of a coin with
  the probabilities `p` and `1 - p`, in nats.

A process of your own needs no code: `configs/generative_process/my_custom_data.yaml` gives one as matrices, and the
composites in this table are made of any other processes. This file, `configs/generative_process/two_walks.yaml`, is all
that `training_data_generator=two_walks` needs, for a process of 3 x 4 x 4 = 48 tokens:

```yaml
instance:
  _target_: simplexity.generative_processes.product
  factors:
    - {mess3: {x: 0.15, a: 0.6}}
    - {tom_quantum: {alpha: 1.0, beta: 3.0}}
    - {tom_quantum: {alpha: 1.0, beta: 3.0}}
bos_token: auto
eos_token: null
initial_state: null
```

A composite names its parts as this one does: a process alone (`tom_quantum`) has the parameters of the table, and
`{mess3: {x: 0.15}}` has some of its own. Names are those of the packaged processes and of your own files in
`configs/generative_process/`. A number inside can be set and swept:
`training_data_generator.instance.factors.0.mess3.x=0.1,0.2`.

A frozen factor is drawn once, and the same in every sequence: `{frozen: {process: mess3, length: 65}}`.

Every sequence begins in a stationary state, or in the one that the process defines. To begin in another,
`training_data_generator.initial_state=[1,0,0]` has a number for each state; a part takes it as a parameter more,
`{mess3: {initial_state: [1, 0, 0]}}`. Data, optimum, validation and belief states begin there.

The belief states of a composite are its factors' one after another. `process.factor_beliefs(beliefs)` has that of each
factor, and `process.joint_beliefs(beliefs)` that of all together.
"""
_HEADER = """\
| Process | Kind | States | Tokens | Default parameters | Entropy rate (nats) | Source |
|---|---|---|---|---|---|---|
"""


def texts() -> dict[Path, str]:
    """The text of each file."""
    processes = list(packaged_processes())
    rows = [named.row() for named in processes]
    table = _HEADER + "".join(map(_line, rows))
    return {PAGE: "\n".join([_INTRODUCTION, table, *map(_chapter, processes)]), ROWS: rows_json(rows)}


def _line(row: ProcessRow) -> str:
    cells = (
        f"[{row.process}](#{row.process})",
        row.kind,
        str(row.num_states),
        str(row.vocab_size),
        ", ".join(f"`{name}={value_text(value)}`" for name, value in row.parameters.items()),
        estimate_text(row.entropy_rate_nats, row.entropy_rate_error_nats),
        _linked(", ".join(row.sources)),
    )
    return f"| {' | '.join(cells)} |\n"


def _chapter(named: NamedProcess) -> str:
    text = f"## {named.name}\n\n{named.sections['']}\n"
    if named.parameters:
        text += "\n" + "".join(
            f"- `{parameter}` (default `{value_text(value)}`): {_parameter(named.sections['Args'], parameter)}\n"
            for parameter, value in named.parameters.items()
        )
    return f"{text}\n{_linked('Source: ' + named.sections['References'])}\n"


def _parameter(section: str, name: str) -> str:
    """What the section Args says of a parameter; the following lines of an entry are indented."""
    entry = re.search(rf"^{name}: (.*(?:\n .*)*)", section, re.MULTILINE)
    if entry is None:
        raise ValueError(f"the docstring says nothing of the parameter `{name}`")
    return re.sub(r"\n\s+", "\n  ", entry[1])


def _linked(text: str) -> str:
    return ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text, encoding="utf-8")
