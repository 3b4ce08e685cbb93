"""Files that are replaced as a whole: what a kill, a full disk or another process leaves."""

import os
import subprocess
import sys

import pytest

from simplexity.runs import write_durably


@pytest.mark.parametrize("content", ["grüße\n", b"\x00\xff", ""])
def test_content_replaces_what_was_there(tmp_path, content):
    path = tmp_path / "COMPLETE"
    path.write_text("before")
    write_durably(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(tmp_path) == ["COMPLETE"]


def test_who_has_lost_the_folder_creates_nothing_in_it(tmp_path):
    """Its process may end at once, and tidy nothing up."""

    def lost():
        assert os.listdir(tmp_path) == []
        raise RuntimeError("taken over")

    with pytest.raises(RuntimeError, match="taken over"):
        write_durably(tmp_path / "COMPLETE", "", lost)


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "COMPLETE"
    path.write_text("before")
    # The kernel refuses bytes beyond this size, as a full disk does.
    program = """
import pathlib, resource, sys
from simplexity.runs import write_durably
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    write_durably(pathlib.Path(sys.argv[1]), "x" * 1000)
except OSError as error:
    print(error.strerror)
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("File too large\n", "")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["COMPLETE"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "COMPLETE"
    write_durably(path, "0" * 100_000)
    program = """
import pathlib, sys
from simplexity.runs import write_durably
for i in range(40):
    write_durably(pathlib.Path(sys.argv[1]), str(i % 10) * 100_000)
"""
    writer = subprocess.Popen([sys.executable, "-c", program, str(path)])
    while writer.poll() is None:
        content = path.read_text()
        assert len(content) == 100_000
        assert len(set(content)) == 1
    assert writer.returncode == 0
