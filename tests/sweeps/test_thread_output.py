"""What the threads of a worker print is in the logs of their runs."""

import sys
import threading

from simplexity.sweeps._thread_output import output_by_thread, thread_prints_to


def test_each_thread_prints_to_its_own_file_and_all_others_to_the_process(tmp_path, capsys):
    both_have_begun = threading.Barrier(2)

    def work(name):
        with thread_prints_to(tmp_path / "logs" / f"{name}.log"):
            both_have_begun.wait(10)
            print(f"begun {name} \udcff")
            helper = threading.Thread(target=print, args=("of no run",))
            helper.start()
            helper.join()
            print(f"failed {name}", file=sys.stderr)
            assert not sys.stdout.isatty()

    found = sys.stdout
    with output_by_thread():
        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        print("of the worker")
        for thread in threads:
            thread.join()
    assert sys.stdout is found
    for name in "ab":
        assert (tmp_path / "logs" / f"{name}.log").read_text() == f"begun {name} \\udcff\nfailed {name}\n"
    assert sorted(capsys.readouterr().out.splitlines()) == ["of no run", "of no run", "of the worker"]
