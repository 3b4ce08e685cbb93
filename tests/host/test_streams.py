"""A process prints, and lives, though it was started without standard output and error, or their reader is gone."""

import io
import os
import subprocess
import sys

import pytest

from simplexity.host import open_missing_streams, outlive_readers


def test_streams_that_are_missing_are_opened_and_others_kept(monkeypatch, capsys):
    for missing, kept in (("stdout", "stderr"), ("stderr", "stdout")):
        with monkeypatch.context() as patched:
            patched.setattr(sys, missing, None)
            before = getattr(sys, kept)
            open_missing_streams()
            assert getattr(sys, kept) is before
            with getattr(sys, missing) as opened:
                print("this is discarded", file=opened, flush=True)
    assert capsys.readouterr() == ("", "")


PROGRAM = """
import sys
from simplexity.host import outlive_readers, take_lost_streams
outlive_readers()
print("first", flush=True)
sys.stdin.read()
print("second", flush=True)
print("second", file=sys.stderr)
with open(sys.argv[1], "w") as file:
    print(*take_lost_streams(), *take_lost_streams(), sep="\\n", end="", file=file)
print("third")
"""


@pytest.mark.parametrize("variables", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_program_whose_readers_have_gone_continues_and_says_so_once(variables, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "lost")], env=os.environ | variables,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"first\n"
    process.stdout.close()
    process.stderr.close()
    process.stdin.close()
    assert process.wait(60) == 0
    assert sorted((tmp_path / "lost").read_text().splitlines()) == [
        "standard error was closed (Broken pipe)",
        "standard output was closed (Broken pipe)",
    ]


def test_what_a_full_disk_refuses_is_lost_and_the_next_line_is_printed(tmp_path):
    program = """
import resource
from simplexity.host import outlive_readers, take_lost_streams
outlive_readers()
# The kernel refuses bytes beyond this size, as a full disk does.
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
print("refused", flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print("printed", *take_lost_streams())
"""
    with open(tmp_path / "output", "w") as output:
        subprocess.run([sys.executable, "-c", program], stdout=output, check=True, timeout=60)
    assert (tmp_path / "output").read_text() == "printed\n"


def test_what_does_not_fit_into_a_pipe_that_does_not_block_is_lost():
    program = """
import os, sys
from simplexity.host import outlive_readers, take_lost_streams
outlive_readers()
os.set_blocking(1, False)
for _ in range(10):
    print("x" * 100_000, flush=True)
sys.exit(str(take_lost_streams()))
"""
    reads, writes = os.pipe()
    environment = os.environ | {"PYTHONUNBUFFERED": ""}  # it is the buffer that does not bear it
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, stdout=writes, stderr=subprocess.PIPE, timeout=60
    )
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        assert pipe.read(3) == b"xxx"
    assert done.stderr == b"[]\n"


def test_what_stands_in_for_a_stream_or_outlives_its_reader_already_is_kept(monkeypatch, tmp_path):
    class OfATest(io.TextIOWrapper):
        pass

    with open(tmp_path / "own", "w") as own, OfATest(open(tmp_path / "test", "wb")) as of_a_test:
        monkeypatch.setattr(sys, "stdout", own)
        monkeypatch.setattr(sys, "stderr", of_a_test)
        outlive_readers()
        outliving = sys.stdout
        outlive_readers()
        assert sys.stdout is outliving is not own
        assert sys.stderr is of_a_test
