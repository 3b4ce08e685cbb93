import logging

import numpy as np
import pytest
from omegaconf import OmegaConf

from simplexity.composition import ConfigError, with_kept_files
from simplexity.composition._data_files import keep_data_files
from simplexity.runs import RunDirectory, UnreadableError, read_origin

FILE = {"_target_": "simplexity.generative_processes.from_npz"}


def config(process, resume="auto"):
    return OmegaConf.create(
        {
            "training_data_generator": {"instance": process},
            "validation_data_generator": None,
            "predictive_model": {"load_checkpoint_from": "elsewhere"},
            "training": {"batch_size": 4},
            "persistence": {"resume": resume},
        }
    )


def write(path, p):
    np.savez(path, transition_matrices=np.array([[[p]], [[1 - p]]]))


def never_stops(seconds):
    return False


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("coin.npz", 0.25)
    return RunDirectory.create(tmp_path / "run")


@pytest.fixture
def process(directory):
    return config(FILE | {"path": "coin.npz"})


def test_a_run_computes_from_its_copy_when_the_file_is_gone(directory, process, tmp_path):
    before = (tmp_path / "coin.npz").read_bytes()
    kept = keep_data_files(process, directory, never_stops)
    (tmp_path / "coin.npz").unlink()
    assert keep_data_files(process, directory, never_stops) == with_kept_files(process, directory) == kept
    copy = directory.path / read_origin(directory.origin_path).files["training_data_generator.instance.path"].copy
    assert kept.training_data_generator.instance.path == str(copy)
    assert copy.read_bytes() == before
    assert kept.predictive_model == process.predictive_model


def test_files_of_components_are_found(directory):
    mixture = {
        "_target_": "simplexity.generative_processes.nonergodic",
        "components": [{"_target_": "simplexity.generative_processes.coin", "p": 0.5}, FILE | {"path": "coin.npz"}],
        "weights": [0.5, 0.5],
    }
    kept = keep_data_files(config(mixture), directory, never_stops)
    assert kept.training_data_generator.instance.components[1].path.startswith(str(directory.path / "data"))


def test_a_file_that_changed_is_said_and_refused_where_the_rule_is_strict(directory, process, caplog):
    kept = keep_data_files(process, directory, never_stops)
    write("coin.npz", 0.75)
    with caplog.at_level(logging.WARNING):
        assert keep_data_files(process, directory, never_stops) == kept
    assert "coin.npz has changed since this run began; the run uses its own copy" in caplog.text
    with pytest.raises(ConfigError, match=r"`training_data_generator\.instance\.path`: coin.npz has changed"):
        keep_data_files(config(FILE | {"path": "coin.npz"}, "strict"), directory, never_stops)


@pytest.mark.parametrize("harm", ["change", "remove"])
def test_a_copy_that_is_not_what_was_copied_is_refused(directory, process, harm):
    keep_data_files(process, directory, never_stops)
    (copy,) = (directory.path / "data").iterdir()
    if harm == "change":
        write(copy, 0.75)
    else:
        copy.unlink()
    with pytest.raises(RuntimeError, match=r"copy of coin\.npz, is gone or was changed"):
        keep_data_files(process, directory, never_stops)


def test_an_origin_that_cannot_be_read_is_no_first_start(directory, process):
    directory.origin_path.mkdir()
    with pytest.raises(UnreadableError):
        keep_data_files(process, directory, lambda seconds: True)
    directory.origin_path.rmdir()
    directory.origin_path.write_text("[]")
    with pytest.raises(RuntimeError, match="was not written by a run"):
        keep_data_files(process, directory, never_stops)
