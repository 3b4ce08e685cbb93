"""What the pages say of the tree is true: links, names of files, and the layers."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]*)\)")
# Names in capitals stand for names of the reader's own.
FOLDERS = ("simplexity", "hydra_plugins", "benchmarks", "containers", "slurm", "docs", "tests")
FILE = re.compile(rf"(?<![\w/.~-])(?:{'|'.join(FOLDERS)})/[a-z_\d./-]*(?![\w*-])")


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the titles."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_have_a_target(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    for name in FILE.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize(
    ("group", "key"),
    [
        ("generative_process", "training_data_generator"),
        *[
            (group, group)
            for group in ("predictive_model", "training/optimizer", "training/schedule", "analysis", "logging")
        ],
    ],
)
def test_the_readme_lists_every_choice_of_a_group(group, key):
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Choices")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|") and f"`{key}`" in line.split("|")[1]]
    members = {path.stem for path in (ROOT / "simplexity/configs" / group).glob("*.yaml")}
    assert members
    assert members - set(re.findall(r"\w+", " ".join(rows))) == set(), "add to the README's table of choices"


def test_the_layers_are_those_of_the_import_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    names = [re.findall(r"[\w.]+", line) for line in next(c for c in contracts if c["type"] == "layers")["layers"]]
    layers = [{name.removeprefix("simplexity.") for name in line if "._" not in name} for line in names]
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Layers")[2]
    block = re.search(r"(?:^    .*\n)+", text, re.MULTILINE)
    assert block is not None
    shown = [set(line.strip().split(" | ")) for line in block[0].splitlines()]
    assert shown == [layer for layer in layers if layer]
