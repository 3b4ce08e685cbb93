"""The commands on the pages: their flags exist, and their overrides compose to a config without mistakes."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from simplexity.cli import main
from simplexity.composition import check, compose_leniently

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = {"run_experiment": "experiment", "train_model": "train_model"}
# A run or a sweep that the reader has: `outputs/DATE/TIME`.
PLACEHOLDER = re.compile(r"\b[A-Z]+(_[A-Z]+)*\b")
# `doctor` is about this machine, and `resume` ends the process that calls it.
NOT_CALLED = ("doctor", "resume")


def commands(program: str) -> list[list[str]]:
    """The arguments of a program in all indented blocks of the pages, each command once."""
    found: dict[tuple[str, ...], None] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(rf"^ {{4,}}{program}(?: +(.*))?$", text, re.MULTILINE):
            found[tuple(shlex.split(line.partition(" | ")[0], comments=True))] = None
    return [list(arguments) for arguments in found]


def overrides_of_pages() -> list[tuple[str, list[str]]]:
    """The primary config and the arguments of each command that trains and needs no earlier run or other machine."""
    return [
        (CONFIGS[program], arguments)
        for program in CONFIGS
        for arguments in commands(rf"python simplexity/{program}\.py")
        if not PLACEHOLDER.search(" ".join(arguments)) and not any(one.startswith("cluster=") for one in arguments)
    ]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The folder of configs of a reader who has put the pages' modules there under the names that the pages give."""
    folder = tmp_path / "configs"
    shutil.copytree(ROOT / "configs", folder)
    for page in PAGES:
        modules = re.findall(r"`configs/(\w+\.py)`:\n+```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        for name, source in modules:
            (folder / name).write_text(source)
    monkeypatch.setenv("SIMPLEXITY_CONFIGS", str(folder))


@pytest.mark.parametrize(
    ("config_name", "arguments"),
    overrides_of_pages(),
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_overrides_are_right(site, config_name, arguments):
    overrides = [one for one in arguments if one != "--multirun"]
    config, problems = compose_leniently(config_name, overrides, sweeping="--multirun" in arguments)
    assert [*problems, *check(config)] == []


# The lines of architecture.md's tree begin with the package's name, and containers.md defines a function of the name.
CALLED = [one for one in commands("simplexity") if one and one[0].isalpha() and one[0] not in NOT_CALLED]


@pytest.mark.parametrize("arguments", CALLED, ids=" ".join)
def test_commands_and_flags_exist(tmp_path, monkeypatch, capfd, arguments):
    monkeypatch.chdir(tmp_path)
    main(arguments)
    # Whatever else is wrong with a command is said before its folder is looked for.
    assert re.search(r"there is no (such folder|sweep in)", capfd.readouterr().err)
