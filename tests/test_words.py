"""The standard terms of the field stand in the code, the messages and the docs, and not words in a sense of our own.

`python tests/test_words.py` lists every place that is to be changed.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PLACES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs",
    "simplexity",
    "hydra_plugins",
    "containers",
    "slurm",
    ".ci",
    "benchmarks",
    "examples",
    "configs",
    "tests",
)
SUFFIXES = {".py", ".md", ".yaml", ".sh", ""}


class Word(NamedTuple):
    """A word that the project used in a sense of its own.

    Attributes:
        pattern: Where it stands; a space is any white space, so that a phrase is found across the end of a line.
        standard: What to say instead.
        plain: Where the same letters are plain English or a name that stays, each with the reason.
    """

    pattern: str
    standard: str
    plain: dict[str, str] = {}  # noqa: RUF012 (never changed)


WORDS = (
    Word(r"settl(e|es|ed|ing)(?![a-z])", "configure; resolve"),
    Word(
        r"\b(devices?|processes|parts|batch|they)( \w+)? meet\b|\bmeetings?\b|, meeting\b",
        "all-reduce; barrier; connect",
    ),
    Word(r"\bparts of (a|the|its|each|every) batch|mean over parts", "micro-batch; gradient accumulation"),
    Word(
        r"(ask\w*|wants?|request\w*|whether|says|told|need\w*) to leave\b|leave_process|\bleave\(|, leave\b"
        r"|\b(and|then|them|or) leav(e|es|ing)\b|leav(e|es|ing) with\b|\bleft with (exit code )?\d"
        r"|leav(e|es|ing) at once|\bleaving\b(?! out)|saves?, leaves?\b",
        "exit; a stop was requested",
        {
            r"can leave with a torn end": "a file is left",
            r"(and|or|echoes,) leaves? (nothing|most|the|it)\b": "to let something be",
        },
    ),
    Word(
        r"(?-i:\bAdvance\b)|make_advance|\.advance\b|advance_all|program\w* that advances?",
        "train_steps; the step function",
        {r"_lines\.advance\(\)": "of a reader, to go to the next lines"},
    ),
    Word(
        r"(?<![a-z])lead(er|ers)?(?![a-z])|\bleading\(|\.leading\b|(?<![a-z])followers?(?![a-z])",
        "coordinator; worker process",
        {
            r"signal lead\b|signal_lead(_s)?\b|(?<![a-z])lead_s\b": "the key `signal_lead_s` of a cluster's profile",
            r"leads? to\b": "to result in",
        },
    ),
    Word(r"carr(y|ies|ied|ying)( \w+)? out\b|_carry_out|dismiss", "execute a command; shut down"),
    Word(r"next_order|\.order\(|\bdef order\b|num_orders|\"order/|\borders from\b|for orders|more orders", "command"),
    Word(r"(?<![a-z])(un)?sound(?![a-z])|damage", "valid; corrupt"),
    Word(r"\bset(s|ting)?( \w+)? aside|set_aside", "quarantined, renamed to STEP.corrupt-N"),
    Word(r"\b(the|their|its|his|of) remains\b|_remains\b|\bremains\(", "leftovers; temporary files"),
    Word(r"cadence", "save policy"),
    Word(r"rehears", "test job"),
    Word(
        r"(?<![a-z])findings?(?![a-z])",
        "check result",
        {r"\"Finding Structure": "the title of a paper", r"finding a mistake": "to find"},
    ),
    Word(r"prospect", "scheduler state"),
    Word(
        r"\bdriv(e|es|ing|er)\b|conclud|conclusion",
        "run; summarise; the process that submitted",
        {r"(nvidia's|the|its|a|no) driver\b(?! of a sweep)": "of a GPU"},
    ),
    Word(r"complain|\bblam(e|es|ed|ing)\b", "config error; report"),
    Word(
        r"\b_?(say|tell)\(|\b(say|tell)_\w|_(say|tell)\b|\bsay \"",
        "report; describe",
        {r"(study|log|file)\.tell\(": "methods of Optuna and of Python's files"},
    ),
    Word(r"word of nobody|without a word\b", "unexpectedly; silently"),
    Word(r"\b(go|goes|going|gone|went) on\b|going_on", "resume; continue; running"),
    Word(r"\b(no|some|any|every)body\b", "the process, the job, the user or the person, by name"),
    Word(r"\basked (to|whether|of|between|not)\b|\basks (it|them|whether)\b", "checked; told; a stop was requested"),
    Word(r"(?<!/)\belsewhere:", "from another terminal:"),
    Word(r"lies between them", "the difference; the gap"),
    Word(r"share of time|time is worth", "CPU affinity, capped by the cgroup quota"),
    Word(r"num_alike|num_apart", "num_joined_gates; num_nonadditive_gates"),
    Word(r"to the letter\b|zeros come zeros", "unchanged; padding with zeros is preserved"),
)


@cache
def texts() -> dict[Path, str]:
    """What the files of `PLACES` hold."""
    return {path: path.read_text("utf-8") for path in _files()}


def _files() -> Iterator[Path]:
    for place in map(ROOT.joinpath, PLACES):
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            is_text = path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts
            # This file has the words themselves.
            if is_text and path != Path(__file__):
                yield path


def uses(word: Word, text: str, *, within_names: bool = False) -> list[int]:
    """The lines of `text` in which the word begins, as a word or, `within_names`, as a part of a name (`go_on`)."""
    for plain in word.plain:
        text = _compiled(plain).sub(lambda found: re.sub(r"\S", "·", found[0]), text)
    readings = [text, text.replace("_", " ")] if within_names else [text]
    starts = {found.start() for reading in readings for found in _compiled(word.pattern).finditer(reading)}
    return [text.count("\n", 0, start) + 1 for start in sorted(starts)]


def _uses_in(word: Word, path: Path) -> list[int]:
    # The name of a test is a sentence, in which a person may be called somebody.
    return uses(word, texts()[path], within_names=path.suffix == ".py" and ROOT / "tests" not in path.parents)


def _compiled(pattern: str) -> re.Pattern[str]:
    # A comment, a quoted paragraph or a list continues in the next line.
    return re.compile(pattern.replace(" ", r"\s+(?:[#>-] )?"), re.IGNORECASE)


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.standard)
def test_standard_terms(word):
    places = [f"{path.relative_to(ROOT)}:{line}" for path in texts() for line in _uses_in(word, path)]
    assert places == [], f"say there: {word.standard}"


def test_words_within_names_are_found_but_for_the_exceptions():
    word = Word(r"\b(go|goes) on\b", "continue", {r"go_on_foot": "to walk"})
    text = "go_on_foot()\nself._goes_on = 1\nlet it go\non\n"
    assert uses(word, text) == [3]
    assert uses(word, text, within_names=True) == [2, 3]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.standard)
def test_every_exception_is_still_needed(word):
    unused = [plain for plain in word.plain if not any(map(_compiled(plain).search, texts().values()))]
    assert unused == []


if __name__ == "__main__":
    for one in WORDS:
        for file, content in texts().items():
            for number in _uses_in(one, file):
                print(f"{file.relative_to(ROOT)}:{number}: [{one.standard}] {content.splitlines()[number - 1].strip()}")
