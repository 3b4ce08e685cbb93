import os

import pytest

from simplexity.doctor import Severity
from simplexity.doctor import _folder_checks as module
from simplexity.doctor._folder_checks import check_folder


def test_a_valid_folder_stays_as_it_was(tmp_path):
    (tmp_path / "precious").touch()
    result = check_folder("folder", tmp_path, "hydra.sweep.dir")
    assert result.severity == Severity.OK
    assert str(tmp_path) in result.found
    assert os.listdir(tmp_path) == ["precious"]


def test_a_missing_folder_is_not_left_behind(tmp_path):
    assert check_folder("folder", tmp_path / "a b" / "c", "hydra.sweep.dir").severity == Severity.OK
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    result = check_folder("cache folder", tmp_path / "file" / "x", "cache_folder")
    assert result.severity == Severity.PROBLEM
    assert result.found == f"{tmp_path}/file/x cannot be written: Not a directory"
    assert "`cache_folder`" in result.change


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("_LITTLE_BYTES", 10**30, "A sweep may fill it"),
        ("_SLOW_S", -1.0, "Every checkpoint and every start waits that long"),
    ],
)
def test_little_room_and_slow_disks(tmp_path, monkeypatch, name, value, words):
    monkeypatch.setattr(module, name, value)
    result = check_folder("folder", tmp_path, "hydra.sweep.dir")
    assert (result.severity, words in result.meaning) == (Severity.ADVICE, True)


def test_a_file_system_that_copies_instead_of_renaming(tmp_path, monkeypatch):
    def write_in_place(path, content):
        path.write_bytes(content)

    monkeypatch.setattr(module, "write_durably", write_in_place)
    result = check_folder("folder", tmp_path, "hydra.sweep.dir")
    assert result.severity == Severity.PROBLEM
    assert "a rename does not replace a file in one step" in result.found
