"""Ready studies (configs/study): each run of each composes, has the published optimum, and trains in its small form."""

import itertools
import re
import sys

import pytest
from omegaconf import OmegaConf

from simplexity.composition import check, compose, instantiate
from simplexity.generative_processes import DataGenerator, LossOptimum, loss_optimum
from simplexity.running import reopen
from simplexity.runs import RunDirectory, read_json_lines
from tests.running.program import call_program
from tests.small_runs import SCRIPT

ROOT = SCRIPT.parent.parent
STUDIES = sorted(path.stem for path in (ROOT / "configs" / "study").glob("*.yaml") if path.stem != "small")


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    # The site's configs are those of the current folder.
    monkeypatch.chdir(ROOT)


def runs_of(study: str) -> list[list[str]]:
    """The overrides of each run of a study."""
    config = OmegaConf.load(ROOT / "configs" / "study" / f"{study}.yaml")
    swept = {key: str(values).split(",") for key, values in config.hydra.sweeper.params.items() if values is not None}
    combinations = itertools.product(*swept.values())
    return [[f"{key}={value}" for key, value in zip(swept, values, strict=True)] for values in combinations]


def header_of(study: str) -> str:
    """The comment that a study opens with."""
    text = (ROOT / "configs" / "study" / f"{study}.yaml").read_text()
    return "".join(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))


def optimum_of(study: str, process: str) -> LossOptimum:
    """The optimum of a study's sequences of a process."""
    config = compose("experiment", [f"+study={study}", f"training_data_generator={process}"])
    section = config.training_data_generator
    generator = DataGenerator(instantiate(section.instance), section.bos_token, section.eos_token)
    return loss_optimum(generator, config.training.sequence_len)


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_every_run_of_a_study_is_a_valid_config(study):
    for overrides in runs_of(study):
        assert check(compose("experiment", [f"+study={study}", *overrides])) == [], overrides


def test_there_are_the_runs_of_the_papers():
    assert {study: len(runs_of(study)) for study in STUDIES} == {
        "belief_geometry": 2,
        "constrained_updates": 16,
        "factored": 2,
        "factored_noise": 5,
        "in_context": 4,
        "mixture_of_mess3": 3,
        "quantum": 16,
        "sizes": 21,
    }


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_begins_with_what_a_reader_asks(study):
    header = header_of(study)
    question = header.splitlines()[1]
    assert question.startswith("# ")
    assert question.endswith("?")
    assert f"python simplexity/run_experiment.py --multirun +study={study}\n" in header
    for part in ("# Cost: ", "# Expected: ", "# Source: "):
        assert part in header


@pytest.mark.parametrize(
    ("study", "process", "position", "stated"),
    [
        ("belief_geometry", "mess3", None, "0.802512"),
        ("belief_geometry", "rrxor", None, "0.578185"),
        ("in_context", "mr_name", None, "0.835876"),
        ("quantum", "mess3", -1, "0.793463"),
        ("quantum", "tom_quantum", -1, "1.378032"),
        ("quantum", "frdn", -1, "0.645014"),
        ("quantum", "moon", -1, "0.699152"),
        ("factored", "product", 0, "6.068426"),
        ("factored", "product", -1, "5.861580"),
    ],
)
def test_the_optimum_is_the_one_in_the_header(study, process, position, stated):
    assert stated in header_of(study)
    optimum = optimum_of(study, process)
    nats = optimum.nats if position is None else optimum.per_position[position]
    assert nats == pytest.approx(float(stated), abs=1e-6)


@pytest.mark.parametrize(("process", "doublings"), [("names_2", 1), ("names_4", 2), ("names_8", 3)])
def test_a_name_is_news_once(process, doublings):
    rise = re.search(r"rises by (0\.\d+) per doubling", header_of("in_context"))
    assert rise is not None
    nats = optimum_of("in_context", process).nats
    assert nats == pytest.approx(0.835876 + doublings * float(rise[1]), abs=3e-6)


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_the_small_form_trains(study, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    run_dir = tmp_path / "run"
    arguments = (f"+study=[{study},small]", f"hydra.run.dir={run_dir}", "figures=false")
    assert call_program("experiment", *arguments) == 0, capfd.readouterr().err
    directory = RunDirectory(run_dir)
    first, *_, last = [line for line in read_json_lines(directory.metrics_path) if "validation_kl" in line]
    assert last["step"] == 200
    assert last["validation_kl"] < first["validation_kl"] + 0.01
    (analysis,) = read_json_lines(directory.analysis_path)
    assert analysis["best"] is not None
    assert reopen(run_dir).analysis.length == 4
