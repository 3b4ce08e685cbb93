"""Standard words: what was said in a vocabulary of the project's own stays out of the code, the messages and the docs."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PLACES = ("README.md", "CONTRIBUTING.md", "docs", "simplexity", "hydra_plugins", "containers", "slurm")
SUFFIXES = {".py", ".md", ".yaml", ".sh", ""}


class Word(NamedTuple):
    """A word of the private vocabulary.

    Attributes:
        pattern: What stands for it, in lower case; a space is any white space, also a line's end within a comment.
        standard: What to say.
        plain: The same letters in their plain sense, or in a name that is kept; each with its reason beside it.
    """

    pattern: str
    standard: str
    plain: tuple[str, ...] = ()


WORDS = (
    Word(r"(?<!un)settl(e|es|ed|ing)(?![a-z])", "configure"),
    Word(r"\bmeet(s|ing|ings)?\b|\bmet\b", "all-reduce, barrier, connect"),
    Word(r"num_parts|\bparts of (a|the|its|each|every) batch|mean over parts|mean_over_parts", "micro-batch"),
    Word(r"(ask|want|request|tell|told|sa)\w*( \w+)? to leave|leave_process|\bleave\(|\bleft with (exit code )?\d", "exit, stop requested"),
    Word(r"\bleav(e|es|ing) (with|at once|on|here)\b|, (then )?leav(e|es|ing)\b|and leav(e|es|ing)\b|(may|must|wants?) leave", "exit"),
    Word(r"\badvanc(e|es|ed|ing)(?![a-z])|advance_|_advance", "train_steps, step function"),
    Word(r"(?<![a-z])lead(er|ers|ing)?(?![a-z])|(?<![a-z])followers?(?![a-z])", "coordinator, worker process"),
    Word(r"carr(y|ies|ied)(ing)? (it |them )?out|carry_out|(?<![a-z])dismiss(al|ed|es)?(?![a-z])", "execute, shut down"),
    Word(r"(?<![a-z])(next_)?orders?(?![a-z])", "command"),
    Word(r"(?<![a-z])(un)?sound(?![a-z])|(?<![a-z])damage[ds]?(?![a-z])", "valid, corrupt"),
    Word(r"\bset(s|ting)?( \w+)? aside|set_aside", "quarantined"),
    Word(r"(?<![a-z])remains(?![a-z])", "leftovers, temporary files"),
    Word(r"cadence", "save policy"),
    Word(r"rehears", "test job"),
    Word(r"(?<![a-z])findings?(?![a-z])", "check result"),
    Word(r"prospect", "scheduler state"),
    Word(r"(?<![a-z])driv(e|es|en|ing|er|ers)(?![a-z])|(?<![a-z])conclu", "run, summarise"),
    Word(r"complain|(?<![a-z])blam(e|es|ed|ing)(?![a-z])|(?<![a-z])culprit", "config error, report"),
    Word(r"(?<![a-z])_?(say|tell|told)_\w|_(say|tell|told)\b|\b(tell|say)\(", "report"),
    Word(r"word (of|to|from) nobody|without a word|without (more|further) words?\b", "unexpectedly, silently"),
    Word(r"\bgoing on\b", "running"),
    Word(r"\belsewhere:", "from another terminal:"),
    Word(r"lies between them", "the gap"),
    Word(r"share of time|time is worth", "CPU affinity, capped by the cgroup quota"),
    Word(r"num_alike|num_apart", "num_sigmoid_gates, num_nonadditive_gates"),
    Word(r"to the letter|zeros come zeros", "unchanged; padding with zeros is preserved"),
)


def files() -> list[Path]:
    below = [path for place in PLACES for path in ([ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("*"))]
    return sorted(path for path in below if path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts)


def uses(word: Word, text: str) -> list[int]:
    """The lines on which `text` has the word."""
    text = text.lower()
    for plain in word.plain:
        text = re.sub(plain, lambda found: re.sub(r"\S", "_", found[0]), text)
    return [text.count("\n", 0, found.start()) + 1 for found in re.finditer(_spaced(word.pattern), text)]


def _spaced(pattern: str) -> str:
    return pattern.replace(" ", r"\s+(?:[#>] ?|- )?")


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.standard)
def test_words_are_standard(word):
    found = [f"{path.relative_to(ROOT)}:{line}" for path in files() for line in uses(word, path.read_text(encoding="utf-8"))]
    assert found == [], f"say instead: {word.standard}"


if __name__ == "__main__":
    for word in WORDS:
        print("##", word.standard)
        for path in files():
            text = path.read_text(encoding="utf-8")
            for line in uses(word, text):
                print(f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[line - 1].strip()}")
