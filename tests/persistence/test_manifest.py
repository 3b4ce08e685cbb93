import json

import pytest

from simplexity.persistence._manifest import (
    CorruptCheckpointError,
    Leaf,
    read_manifest,
    verify_files,
    write_manifest,
)

LEAVES = {"a": Leaf((2, 3), "float32", None), "key": Leaf((), "uint32", "threefry2x32")}


@pytest.fixture
def checkpoint(tmp_path):
    (tmp_path / "state" / "d").mkdir(parents=True)
    (tmp_path / "state" / "d" / "data").write_bytes(bytes(range(256)))
    (tmp_path / "index").write_bytes(b"index")
    write_manifest(tmp_path, LEAVES)
    return tmp_path


def test_reads_what_was_written(checkpoint):
    manifest = read_manifest(checkpoint)
    assert manifest.leaves == LEAVES
    assert sorted(manifest.files) == ["index", "state/d/data"]
    verify_files(checkpoint, manifest)


@pytest.mark.parametrize("bit", [0, 6])
def test_every_flipped_bit_of_the_manifest_is_harmless_or_found(checkpoint, bit):
    path, whole = checkpoint / "manifest.json", read_manifest(checkpoint)
    content = path.read_bytes()
    found = 0
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :])
        try:
            assert read_manifest(checkpoint) == whole
        except CorruptCheckpointError:
            found += 1
    assert found > 0.7 * len(content)  # the rest is white space


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{}", b'{"leaves": {}, "files": {}}', b"\x00" * 50])
def test_what_is_no_manifest_is_corrupt(checkpoint, content):
    (checkpoint / "manifest.json").write_bytes(content)
    with pytest.raises(CorruptCheckpointError, match=r"`manifest\.json`"):
        read_manifest(checkpoint)


def test_a_changed_manifest_is_corrupt_though_it_is_json(checkpoint):
    content = json.loads((checkpoint / "manifest.json").read_text())
    content["leaves"]["a"][0] = [3, 2]
    (checkpoint / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(CorruptCheckpointError, match="checksum"):
        read_manifest(checkpoint)


@pytest.mark.parametrize("change", ["flip", "truncate", "delete"])
def test_a_corrupt_file_is_named(checkpoint, change):
    path = checkpoint / "state" / "d" / "data"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    {"flip": lambda: path.write_bytes(content), "truncate": lambda: path.write_bytes(b""), "delete": path.unlink}[
        change
    ]()
    with pytest.raises(CorruptCheckpointError, match="`state/d/data`"):
        verify_files(checkpoint, read_manifest(checkpoint))
