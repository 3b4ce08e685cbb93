import orbax.checkpoint as ocp

from simplexity.persistence._step_directories import (
    commit,
    committed_steps,
    delete,
    delete_remains,
    quarantine,
    uncommitted,
)


def test_only_committed_steps_count_for_us_and_for_orbax(tmp_path):
    for name in ("3", "20", "100", "100.corrupt-1", "7.deleting", "40.uncommitted.orbax-checkpoint-tmp", "figures"):
        (tmp_path / name).mkdir()
    (tmp_path / "55").touch()
    uncommitted(tmp_path, 60).mkdir()
    assert committed_steps(tmp_path) == [3, 20, 100]
    assert sorted(ocp.utils.checkpoint_steps(tmp_path)) == [3, 20, 100]
    commit(tmp_path, 60)
    assert committed_steps(tmp_path) == [3, 20, 60, 100]


def test_a_missing_directory_has_no_steps(tmp_path):
    assert committed_steps(tmp_path / "none") == []


def test_a_step_can_be_quarantine_again_and_again(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / "5").mkdir()
        assert quarantine(tmp_path, 5) == tmp_path / f"5.corrupt-{number}"
    assert committed_steps(tmp_path) == []


def test_remains_go_and_all_else_stays(tmp_path):
    for name in ("3", "9", "100.corrupt-1", "7.deleting", "40.uncommitted", "40.uncommitted.orbax-checkpoint-tmp"):
        (tmp_path / name / "state").mkdir(parents=True)
    delete(tmp_path, 9)
    delete_remains(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["100.corrupt-1", "3"]
