import errno
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from simplexity.host import CompilationCache

MODULE = "simplexity.host._compilation_cache"


@pytest.fixture
def shared(tmp_path):
    return tmp_path / "cache"


def files(shared):
    return [path for path in shared.rglob("*") if path.is_file()]


def test_entry_is_seen_by_the_next_process(shared):
    CompilationCache(shared).put("jit_f-0a", b"program")
    assert CompilationCache(shared).get("jit_f-0a") == b"program"
    assert CompilationCache(shared).get("jit_f-0b") is None


@pytest.mark.parametrize("corrupt", [lambda whole: whole[:-1], lambda whole: b"", lambda whole: whole[:-1] + b"?"])
def test_corrupt_entry_counts_as_none_and_is_written_again(shared, corrupt):
    cache = CompilationCache(shared)
    cache.put("jit_f-0a", b"program")
    (entry,) = files(shared)
    entry.write_bytes(corrupt(entry.read_bytes()))
    assert cache.get("jit_f-0a") is None
    cache.put("jit_f-0a", b"program")
    assert cache.get("jit_f-0a") == b"program"


def test_entry_of_a_writer_that_is_killed_is_never_seen_and_removed_later(shared, monkeypatch):
    cache = CompilationCache(shared)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            cache.put("jit_f-0a", b"program")
    (left,) = files(shared)
    assert cache.get("jit_f-0a") is None
    cache.put("jit_f-0a", b"program")
    assert left.exists(), "its writer may be at work"
    os.utime(left, (0, 0))
    cache.put("jit_f-0a", b"program")
    assert not left.exists()
    assert cache.get("jit_f-0a") == b"program"


def test_least_recently_used_entries_make_room(shared, monkeypatch):
    monkeypatch.setattr(CompilationCache, "_entry", lambda self, key: self._path / "00" / key)
    monkeypatch.setattr(f"{MODULE}._LARGEST_BYTES", 3 * 50)
    cache = CompilationCache(shared)
    for age, key in enumerate(("c", "b", "a")):
        cache.put(key, bytes(18))
        os.utime(shared / cache._path / "00" / key, (1000 - age, 1000 - age))
    assert cache.get("a") is not None
    cache.put("d", bytes(18))
    assert {path.name for path in files(shared)} == {"a", "c", "d"}


def test_writers_that_make_room_at_once_raise_nothing(shared, monkeypatch, caplog):
    monkeypatch.setattr(CompilationCache, "_entry", lambda self, key: self._path / "00" / key)
    monkeypatch.setattr(f"{MODULE}._LARGEST_BYTES", 500)
    caches = [CompilationCache(shared) for _ in range(4)]

    def work(number):
        for i in range(100):
            caches[number].put(f"{number}-{i}", bytes(100))
            caches[number].get(f"{(number + 1) % 4}-{i}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not caplog.records
    # Each removed what it saw; two that wrote last at once may both stay.
    assert len(files(shared)) <= 4 + len(caches)


def test_making_room_leaves_what_another_process_is_writing(shared, monkeypatch):
    monkeypatch.setattr(f"{MODULE}._LARGEST_BYTES", 500)
    cache = CompilationCache(shared)
    cache.put("a", b"program")
    (entry,) = files(shared)
    being_written = entry.with_name("temporary-of-another")
    being_written.write_bytes(bytes(1000))
    cache.put("a", b"program")
    assert being_written.exists()


def test_removed_folder_is_made_again(shared, caplog):
    cache = CompilationCache(shared)
    cache.put("jit_f-0a", b"program")
    shutil.rmtree(shared)
    assert cache.get("jit_f-0a") is None
    cache.put("jit_f-0a", b"program")
    assert cache.get("jit_f-0a") == b"program"
    assert not caplog.records


@pytest.mark.parametrize("failing", ["replace", "scandir", "utime"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.ESTALE, errno.EIO])
def test_fault_of_the_file_system_raises_nothing_and_is_warned_of_once(shared, failing, error, monkeypatch, caplog):
    cache = CompilationCache(shared)

    def fail(*args, **kwargs):
        raise OSError(error, os.strerror(error))

    cache.put("jit_f-0a", b"program")
    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        for key in ("jit_f-0b", "jit_f-0c"):
            cache.put(key, b"program")
            cache.get(key)
    assert not any(path.name.startswith("temporary") for path in files(shared))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (failing != "utime"), messages
    assert all(message.endswith(os.strerror(error)) for message in messages)


def test_entry_that_cannot_be_read_is_warned_of(shared, monkeypatch, caplog):
    def fail(path):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    cache = CompilationCache(shared)
    monkeypatch.setattr(Path, "read_bytes", fail)
    assert cache.get("jit_f-0a") is None
    assert cache.get("jit_f-0a") is None
    assert len(caplog.records) == 1


@pytest.mark.slow
def test_start_and_look_up_take_no_longer_with_20_000_entries(shared):
    cache = CompilationCache(shared)
    for i in range(256):
        (cache._path / f"{i:02x}").mkdir()
    for i in range(20_000):
        cache._entry(f"jit_f-{i}").touch()
    began_s = time.monotonic()
    again = CompilationCache(shared)
    for i in range(10):
        again.put(f"jit_g-{i}", bytes(100_000))
        assert again.get(f"jit_g-{i}") is not None
    assert time.monotonic() - began_s < 1.0


def test_folder_into_which_others_may_write_is_refused(shared, monkeypatch):
    folder = CompilationCache(shared)._path
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="all users may write"):
        CompilationCache(shared)
    folder.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="another user"):
        CompilationCache(shared)
