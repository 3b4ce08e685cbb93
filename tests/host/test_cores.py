import os

import pytest

from simplexity.host import _cores, num_usable_cores


@pytest.mark.parametrize(
    ("quota", "number"),
    [(None, 4), ("max 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", 4), ("nonsense", 4)],
)
def test_a_container_counts_the_cores_that_its_time_is_worth(monkeypatch, tmp_path, quota, number):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)))
    monkeypatch.setattr(_cores, "_QUOTA", tmp_path / "cpu.max")
    if quota is not None:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert num_usable_cores() == number
