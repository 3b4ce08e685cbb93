"""A process that was started without standard output or standard error prints all the same."""

import sys

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
