"""Rules of the tree: who may import private modules, what packages export, docstrings of modules, lengths of files."""

import ast
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ("simplexity", "hydra_plugins")
PROGRAMS = (*LIBRARY, "benchmarks", "docs")
LONGEST = 300
# A module, or a name in one. Strings count as imports do: those of a monkeypatch, and the text of a `python -c`.
DOTTED = re.compile(r"\b(?:simplexity|hydra_plugins)(?:\.\w+)+")

# Exported for the users' own code and configs: nothing here needs them.
FOR_USERS = frozenset(
    {
        # Looking inside models.
        "simplexity.analysis.Regression",
        "simplexity.analysis.word_activations",
        "simplexity.analysis.words_of",
        # Processes of one's own, and what is known of one.
        "simplexity.generative_processes.EpsilonMachine",
        "simplexity.generative_processes.Estimate",
        "simplexity.generative_processes.GHMM",
        "simplexity.generative_processes.HMM",
        "simplexity.generative_processes.Product",
        # Recurrent models of one's own.
        "simplexity.predictive_models.Cell",
        "simplexity.predictive_models.RecurrentModel",
    }
)


def files(*folders: str, suffix: str = "py") -> list[Path]:
    """Paths below the root."""
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob(f"*.{suffix}"))


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse((ROOT / file).read_text())


def references(file: Path) -> Iterator[str]:
    """The dotted names that a file imports, and those in its strings."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = file.parent.parts[: len(file.parent.parts) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from DOTTED.findall(node.value)


def private_owner(name: str) -> str | None:
    """The package or module that a private part of a dotted name belongs to; None if all its parts are public."""
    parts = name.split(".")
    for index, part in enumerate(parts):
        if part.startswith("_") and not part.endswith("__"):
            return ".".join(parts[:index])
    return None


def foreign_privates(folder: str, own: Callable[[Path], str]) -> list[str]:
    """What the files of a folder take of what is private to packages of ours, other than their own."""
    return [
        f"{file}: {name}"
        for file in files(folder)
        for name in sorted(set(references(file)))
        if name.startswith(LIBRARY) and private_owner(name) not in (None, own(file))
    ]


def mirrored(file: Path) -> str:
    """The package that a test's folder mirrors: simplexity.runs for tests/runs."""
    return f"simplexity.{file.parts[1]}"


def package_of(file: Path) -> str:
    return ".".join(file.parent.parts)


def none(found: Iterable[object]) -> None:
    """Fails with every line of what should not be there."""
    if lines := list(map(str, found)):
        pytest.fail("\n".join(lines), pytrace=False)


def test_no_package_imports_what_is_private_to_another():
    none(line for folder in PROGRAMS for line in foreign_privates(folder, package_of))


def test_tests_reach_into_the_package_that_they_mirror_and_no_other():
    found = foreign_privates("tests", mirrored)
    none(line for line in found if not line.startswith("tests/hydra_plugins") or ": hydra_plugins." not in line)


@functools.cache
def used_names() -> dict[str, set[str]]:
    """For each package, the dotted names that its programs use; for "", those that configs use."""
    used: dict[str, set[str]] = {}
    for file in files(*PROGRAMS):
        used.setdefault(package_of(file), set()).update(references(file))
    for file in files("simplexity/configs", "configs", suffix="yaml"):
        used.setdefault("", set()).update(DOTTED.findall((ROOT / file).read_text()))
    return used


def test_what_a_package_exports_is_used_elsewhere_and_not_by_tests_alone():
    unused = set()
    for file in files("simplexity"):
        if file.name != "__init__.py" or len(file.parts) != 3:
            continue
        package = package_of(file)
        used = set().union(*(names for user, names in used_names().items() if user != package))
        nodes = [node for node in ast.walk(tree(file)) if isinstance(node, ast.ImportFrom)]
        exported = {f"{package}.{name.asname or name.name}" for node in nodes for name in node.names}
        unused |= exported - used
    none(sorted(unused ^ FOR_USERS))


def exported_functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    """What each package's `__init__.py` takes from its modules, of that the functions."""
    for init in (file for file in files("simplexity") if file.name == "__init__.py"):
        for node in tree(init).body:
            if not isinstance(node, ast.ImportFrom) or node.level != 1:
                continue
            module = init.parent / f"{node.module}.py"
            names = {name.name for name in node.names}
            yield from (
                (module, one) for one in tree(module).body if isinstance(one, ast.FunctionDef) and one.name in names
            )


def test_what_packages_export_describes_its_arguments():
    none(
        f"{file}:{function.lineno}: {function.name} takes {num_arguments} arguments, and its docstring has no `Args:`"
        for file, function in exported_functions()
        if (num_arguments := sum(isinstance(node, ast.arg) for node in ast.walk(function.args))) > 1
        and "Args:" not in (ast.get_docstring(function) or "")
    )


def test_every_module_says_what_is_in_it():
    none(file for file in files(*PROGRAMS) if not ast.get_docstring(tree(file)))


def test_a_file_is_one_idea():
    none(file for file in files(*PROGRAMS) if len((ROOT / file).read_text().splitlines()) > LONGEST)


def test_what_decides_about_runs_takes_no_read_error_for_absence():
    hides_errors = {"exists", "is_file", "is_symlink", "rglob"}
    none(
        f"{file}:{node.lineno}: `.{node.attr}` hides read errors: see runs.is_there and runs.files_below"
        for package in ("runs", "persistence", "loggers", "composition", "sweeps")
        for file in files(f"simplexity/{package}")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Attribute) and node.attr in hides_errors
    )
