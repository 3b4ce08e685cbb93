"""Every YAML file of the group names a process that can be built as it stands."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from simplexity import generative_processes as gp
from simplexity.composition import instantiate

from .conftest import MAKERS

ROOT = Path(__file__).parents[2]
PACKAGED = sorted(ROOT.glob("simplexity/configs/generative_process/*.yaml"))
FILES = sorted([*PACKAGED, *ROOT.glob("configs/generative_process/*.yaml")])


# test_composites.py and test_mixture.py check these.
COMPOSITES = {"chain", "conditioned", "inflated", "noisy", "nonergodic", "product"}
# test_named_processes.py compares these with the processes of other names.
SECOND_NAMES = {"even_process", "frdn", "golden_mean", "moon", "z1r"}


def test_every_process_that_has_a_file_is_checked_on_every_invariant():
    missing = {path.stem for path in PACKAGED} - COMPOSITES - SECOND_NAMES - set(MAKERS)
    assert missing == set(), "add to MAKERS in tests/generative_processes/conftest.py"
    assert {"coin", *COMPOSITES, *SECOND_NAMES} < {path.stem for path in PACKAGED}


def test_the_factored_process_of_the_docs():
    text = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "processes.md").read_text(), re.DOTALL)[0]
    assert len(text.splitlines()) <= 15
    config = OmegaConf.create(text)
    generator = gp.DataGenerator(instantiate(config.instance), config.bos_token, config.eos_token)
    assert generator.vocab_size == 49


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_builds_its_process(path):
    config = OmegaConf.load(path)
    assert set(config) == {"instance", "bos_token", "eos_token", "initial_state"}
    generator = gp.DataGenerator(instantiate(config.instance), config.bos_token, config.eos_token)
    assert generator.vocab_size == generator.process.vocab_size
