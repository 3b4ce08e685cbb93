"""Every YAML file of the group names a process that can be built as it stands."""

import re
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from simplexity import generative_processes as gp

ROOT = Path(__file__).parents[2]
FILES = sorted(
    [*ROOT.glob("simplexity/configs/generative_process/*.yaml"), *ROOT.glob("configs/generative_process/*.yaml")]
)


def test_every_named_process_has_a_file():
    named = {name for name in vars(gp) if callable(getattr(gp, name)) and name in {path.stem for path in FILES}}
    assert named == {path.stem for path in FILES} - {"my_custom_data"}
    assert len(named) == 27


def test_the_factored_process_of_the_docs():
    text = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "processes.md").read_text(), re.DOTALL)[0]
    assert len(text.splitlines()) <= 15
    config = OmegaConf.create(text)
    generator = gp.DataGenerator(instantiate(config.instance, _convert_="all"), config.bos_token, config.eos_token)
    assert generator.vocab_size == 49


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_builds_its_process(path):
    config = OmegaConf.load(path)
    assert set(config) == {"instance", "bos_token", "eos_token"}
    generator = gp.DataGenerator(instantiate(config.instance, _convert_="all"), config.bos_token, config.eos_token)
    assert generator.vocab_size == generator.process.vocab_size
