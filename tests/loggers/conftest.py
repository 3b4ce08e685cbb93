"""A run's directory as other programs' loggers find it."""

import pytest


@pytest.fixture
def run_directory(tmp_path):
    directory = tmp_path / "a study" / "0"
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text("seed: 3\ntraining:\n  batch_size: 64\n")
    return directory
