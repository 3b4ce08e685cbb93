import json
import subprocess
import sys

import pytest

from simplexity.runs import append_json_line, iter_json_lines, read_json_lines, renew_json_lines

RECORDS = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25, "note": 'Zeile\nmit "ü"'}]
WHOLE = b"".join(json.dumps(record).encode() + b"\n" for record in RECORDS)


def test_what_is_appended_is_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for record in RECORDS:
        append_json_line(path, record)
    assert read_json_lines(path) == RECORDS
    assert path.read_bytes().count(b"\n") == 2


def test_a_missing_file_has_no_lines(tmp_path):
    assert read_json_lines(tmp_path / "metrics.jsonl") == []
    assert renew_json_lines(tmp_path / "metrics.jsonl") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "tail",
    [
        b"{",
        b'{"step": 3, "loss": 0.1}',
        b'{"step": 3\n',
        b"\0" * 5000,
        b"\0\0\n\0",
        b"17\n",
        b'{"step": "' + b"a" * 200_000,
        b"\xff\xfe\n",
    ],
)
@pytest.mark.parametrize("whole", [WHOLE, b""])
def test_a_torn_end_is_left_out_and_then_cut_off(tmp_path, whole, tail):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(whole + tail)
    records = RECORDS if whole else []
    assert read_json_lines(path) == records
    assert path.read_bytes() == whole + tail
    assert b"".join(renew_json_lines(path)) == whole
    assert path.read_bytes() == whole
    append_json_line(path, {"step": 3})
    assert read_json_lines(path) == [*records, {"step": 3}]


@pytest.mark.parametrize("length", [10, 65_534, 65_535, 65_536, 65_537, 200_000])
def test_lines_longer_than_a_block_are_kept(tmp_path, length):
    path = tmp_path / "metrics.jsonl"
    append_json_line(path, {"a": 1})
    append_json_line(path, {"text": "x" * length})
    whole = path.read_bytes()
    path.write_bytes(whole + b"{")
    assert [len(line) for line in renew_json_lines(path)] == [8, length + 12]
    assert path.read_bytes() == whole


def test_every_cut_of_a_file_leaves_whole_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for size in range(len(WHOLE) + 1):
        path.write_bytes(WHOLE[:size])
        renew_json_lines(path)
        assert read_json_lines(path) == RECORDS[: WHOLE[:size].count(b"\n")]


def test_a_corrupt_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(WHOLE + b"{oops\n" + WHOLE)
    with pytest.raises(RuntimeError, match=r"^line 3 of .*metrics\.jsonl is not a JSON object; restore"):
        read_json_lines(path)


def test_a_full_disk_leaves_no_half_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(WHOLE)
    # Room for half of the line: the first write succeeds in part, the second is refused.
    program = """
import pathlib, resource, sys
from simplexity.runs import append_json_line
path = pathlib.Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50,) * 2)
try:
    append_json_line(path, {"text": "x" * 100})
except OSError as error:
    print(error.strerror)
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("File too large\n", "")
    assert path.read_bytes() == WHOLE


def test_what_a_former_writer_still_appends_is_not_in_the_renewed_file(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_bytes(WHOLE)

    def taken_over_meanwhile():
        # As if this process were frozen with the file open, just after it was told that it holds the lock.
        renew_json_lines(path)

    append_json_line(path, {"late": True}, taken_over_meanwhile)
    assert path.read_bytes() == WHOLE


def test_a_symbolic_link_is_not_followed(tmp_path):
    target, path = tmp_path / "diary", tmp_path / "run.jsonl"
    target.write_text("my diary")
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        append_json_line(path, {"step": 1})
    renew_json_lines(path)
    assert target.read_text() == "my diary"


@pytest.mark.parametrize("line", [b"torn", b'{"n": 1}, {"n": 2}', b'{"n": 1', b"[1]", b""])
@pytest.mark.parametrize("place", [0, 7000, 9999])
def test_a_line_among_thousands_that_is_no_record_is_named(tmp_path, line, place):
    path = tmp_path / "runs.jsonl"
    lines = [b'{"n": %d}' % n for n in range(10_000)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert [record["n"] for record in iter_json_lines(path)] == list(range(10_000))
    lines[place] = line
    path.write_bytes(b"\n".join(lines) + b"\n")
    if place == 9999:
        assert [record["n"] for record in iter_json_lines(path)] == list(range(place))
    else:
        with pytest.raises(RuntimeError, match=f"line {place + 1} of"):
            list(iter_json_lines(path))


def test_lines_that_are_records_only_together_are_named(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_bytes(b'{"n": 1}, {"n": 2}\n{"a": [{}\n{}]}\n{"n": 3}\n')
    with pytest.raises(RuntimeError, match="line 1 of"):
        list(iter_json_lines(path))
