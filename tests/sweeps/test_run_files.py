import json

import pytest

from simplexity.sweeps._run_files import last_lines, last_printed, last_records


@pytest.mark.parametrize("length", [5, 3000, 50_000])
@pytest.mark.parametrize("count", [1, 2, 10])
def test_the_end_is_that_of_the_whole_file(tmp_path, length, count):
    lines = [(str(i) * length)[:length].encode() for i in range(4)]
    (tmp_path / "f").write_bytes(b"".join(line + b"\n" for line in lines) + b"torn")
    assert last_lines(tmp_path / "f", count) == lines[-count:]


def test_records_and_words(tmp_path):
    file = tmp_path / "f"
    assert last_records(file, 2) == []
    assert last_printed(file) == ""
    file.write_text(json.dumps({"step": 1}) + "\nno json\n[1]\n" + json.dumps({"step": 2}) + "\n\n  \n")
    assert last_records(file, 5) == [{"step": 2}]
    assert last_printed(file) == json.dumps({"step": 2})


def test_what_srun_says_of_an_exit_code_is_not_why_a_run_has_failed(tmp_path):
    file, end = tmp_path / "log", "srun: error: n1: tasks 0-1: Exited with exit code 1\n"
    file.write_text(end)
    assert last_printed(file) == end.strip()
    file.write_text(f"`runs.jsonl` cannot be read\n{end}{end}")
    assert last_printed(file) == "`runs.jsonl` cannot be read"
    file.write_text(f"{end}srun: error: n1: task 0: Out Of Memory\n")
    assert last_printed(file) == "srun: error: n1: task 0: Out Of Memory"
