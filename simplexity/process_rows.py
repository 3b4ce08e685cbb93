"""The rows of `simplexity processes`: the packaged processes with their default parameters, computed beforehand.

`make docs` computes them into processes.json, and a test computes them again. Some entropy rates take seconds.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

FILE = "processes.json"
# Below half a unit of the last of five decimals, an error does not show.
_LEAST_ERROR = 5e-6
# Columns that all but the composites' parameters fit into, and those of the sources.
_PARAMETERS_WIDTH, _SOURCE_WIDTH = 27, 31


class ProcessRow(NamedTuple):
    """What is known of a packaged process.

    Attributes:
        process: Its name.
        kind: The class that it is of, such as HMM.
        num_states: How many states it has.
        vocab_size: How many tokens it has.
        entropy_rate_nats: Nats per token, rounded to the digits that are known, at most five decimals.
        entropy_rate_error_nats: Its error, to one digit; 0 where that would not show.
        parameters: Those of its config, and their values.
        sources: Where it was published: numbers of arXiv, or what the references begin with.
    """

    process: str
    kind: str
    num_states: int
    vocab_size: int
    entropy_rate_nats: float
    entropy_rate_error_nats: float
    parameters: Mapping[str, Any]
    sources: tuple[str, ...]


def rows_json(rows: Iterable[ProcessRow]) -> str:
    """Rows as a list of JSON objects, one on a line."""
    return "[\n" + ",\n".join(json.dumps(row._asdict(), ensure_ascii=False) for row in rows) + "\n]\n"


def read_rows() -> list[ProcessRow]:
    """The rows of all packaged processes, in alphabetical order."""
    text = (files("simplexity") / FILE).read_text(encoding="utf-8")
    return [ProcessRow(**{**record, "sources": tuple(record["sources"])}) for record in json.loads(text)]


def row_lines(rows: Iterable[ProcessRow], width: int | None) -> Iterator[str]:
    """A header and a line for every row.

    Args:
        rows: The rows.
        width: Columns of the terminal: the source and the kind are left out where they do not fit, and long parameters
            are cut. None to write everything.
    """
    least = f"{'process':<19} {'states':>6} {'tokens':>6}  {'entropy rate':<17}  "
    more = f"{'source':<{_SOURCE_WIDTH}}  {'kind':<14}  "
    with_more = width is None or width >= len(least) + len(more) + _PARAMETERS_WIDTH
    yield f"{least}{more * with_more}parameters"
    for row in rows:
        entropy_rate = estimate_text(row.entropy_rate_nats, row.entropy_rate_error_nats)
        line = f"{row.process:<19} {row.num_states:>6} {row.vocab_size:>6}  {entropy_rate:<17}  "
        if with_more:
            line += f"{_cut(row.sources[0], _SOURCE_WIDTH):<{_SOURCE_WIDTH}}  {row.kind:<14}  "
        line += ", ".join(f"{name}={value_text(value)}" for name, value in row.parameters.items())
        yield (line if width is None else _cut(line, width)).rstrip()


def value_text(value: Any) -> str:
    """A parameter as Python would have it: lists in brackets, a process by its name and parameters."""
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, dict) and "_target_" in value:
        arguments = [f"{name}={value_text(inner)}" for name, inner in value.items() if name != "_target_"]
        return f"{value['_target_'].rpartition('.')[2]}({', '.join(arguments)})"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def estimate_text(value: float, error: float) -> str:
    """An entropy with as many digits as are known, and its error where that would show."""
    decimals, shown_error = _decimals_and_error(error)
    text = f"{value:.{decimals}f}"
    return f"{text} ± {shown_error:.{decimals}f}" if shown_error else text


def rounded(value: float, error: float) -> tuple[float, float]:
    """An entropy and its error, rounded to the digits that `estimate_text` shows."""
    decimals, shown_error = _decimals_and_error(error)
    return round(value, decimals) + 0.0, shown_error  # plus zero, because a negative zero must not show


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _decimals_and_error(error: float) -> tuple[int, float]:
    if error < _LEAST_ERROR:
        return 5, 0.0
    text = f"{error:.0e}"
    return -int(text.partition("e")[2]), float(text)
