import shutil

import orbax.checkpoint as ocp
import pytest

from simplexity.persistence._step_directories import (
    commit,
    committed_steps,
    delete,
    delete_leftovers,
    quarantine,
    uncommitted,
)


def test_only_committed_steps_count_for_us_and_for_orbax(tmp_path):
    for name in ("3", "20", "100", "100.corrupt-1", "7.deleting-1", "40.uncommitted-1.orbax-checkpoint-tmp", "figures"):
        (tmp_path / name).mkdir()
    (tmp_path / "55").touch()
    uncommitted(tmp_path, 60, 1).mkdir()
    assert committed_steps(tmp_path) == [3, 20, 100]
    assert sorted(ocp.utils.checkpoint_steps(tmp_path)) == [3, 20, 100]
    commit(tmp_path, 60, 1, lambda: None)
    assert committed_steps(tmp_path) == [3, 20, 60, 100]


def test_a_missing_directory_has_no_steps(tmp_path):
    assert committed_steps(tmp_path / "none") == []


def test_a_step_can_be_quarantine_again_and_again(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / "5").mkdir()
        assert quarantine(tmp_path, 5) == tmp_path / f"5.corrupt-{number}"
    assert committed_steps(tmp_path) == []


def test_leftovers_go_and_all_else_stays(tmp_path):
    gone = ("7.deleting", "40.uncommitted.orbax-checkpoint-tmp", "40.uncommitted-4", "8.uncommitted-5.orbax-tmp-3")
    stay = ("3", "100.corrupt-1", "41.uncommitted-6", "figures")
    for name in (*gone, *stay, "9"):
        (tmp_path / name / "state").mkdir(parents=True)
    delete(tmp_path, 9, 5)
    delete_leftovers(tmp_path, 5)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(stay)


def test_a_former_holder_that_wakes_up_cannot_commit_what_is_being_deleted(tmp_path, monkeypatch):
    (uncommitted(tmp_path, 60, 1) / "state").mkdir(parents=True)

    def commit_meanwhile(path, **settings):
        with pytest.raises(FileNotFoundError):
            commit(tmp_path, 60, 1, lambda: None)

    monkeypatch.setattr(shutil, "rmtree", commit_meanwhile)
    delete_leftovers(tmp_path, 2)
    assert committed_steps(tmp_path) == []
