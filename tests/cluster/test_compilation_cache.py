import os
import time

import pytest

from simplexity.cluster import CompilationCache


@pytest.fixture
def shared(tmp_path):
    return tmp_path / "cache"


def names(folder):
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_published_entry_is_seen_by_the_next_process(shared):
    first = CompilationCache(shared)
    (first.folder / "program-cache").write_bytes(b"whole")
    first.publish()
    first.close()
    second = CompilationCache(shared)
    assert (second.folder / "program-cache").read_bytes() == b"whole"
    assert not first.folder.exists()


def test_entry_torn_by_a_kill_is_never_shared(shared):
    killed = CompilationCache(shared)
    (killed.folder / "program-cache").write_bytes(b"ha")
    assert names(CompilationCache(shared).folder) == set()


def test_two_writers_of_one_entry_leave_one_whole_entry(shared):
    writers = [CompilationCache(shared), CompilationCache(shared)]
    for writer in writers:
        (writer.folder / "program-cache").write_bytes(b"whole")
    for writer in writers:
        writer.publish()
        writer.close()
    assert (CompilationCache(shared).folder / "program-cache").read_bytes() == b"whole"


def test_abandoned_folders_are_removed_and_living_ones_kept(shared):
    abandoned, living = CompilationCache(shared), CompilationCache(shared)
    long_ago = time.time() - 30 * 24 * 3600
    os.utime(abandoned.folder, (long_ago, long_ago))
    CompilationCache(shared)
    assert not abandoned.folder.exists()
    assert living.folder.exists()


def test_oldest_entries_make_room(shared, monkeypatch):
    monkeypatch.setattr("simplexity.cluster._compilation_cache._LARGEST_BYTES", 25)
    cache = CompilationCache(shared)
    for age, name in enumerate(("newest", "middle", "oldest")):
        path = cache.folder / name
        path.write_bytes(b"0123456789")
        os.utime(path, (1000 - age, 1000 - age))
    cache.publish()
    cache.close()
    assert names(CompilationCache(shared).folder) == {"newest", "middle"}
