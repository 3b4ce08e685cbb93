"""A process prints, and lives, though it was started without standard output and error, or their reader is gone."""

import os
import subprocess
import sys

import pytest

from simplexity.host import open_missing_streams


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
    assert (tmp_path / "lost").read_text().splitlines() == [
        "standard output was closed (Broken pipe)",
        "standard error was closed (Broken pipe)",
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
