"""JSON for programs: written an entry at a time, and the same text as of all at once."""

import json

import pytest

from simplexity.sweeps import read_status, results_json, results_rows, status_json


@pytest.mark.parametrize("num_runs", [1, 3])
def test_the_text_is_that_of_the_whole(num_runs, make_sweep):
    sweep = make_sweep(*[{}] * num_runs)
    status = read_status(sweep)
    for text in ("".join(status_json(sweep, status)), "".join(results_json(results_rows(sweep, status)))):
        read = json.loads(text)
        assert text == json.dumps(read, indent=1) + "\n"
        assert len(read["runs"] if isinstance(read, dict) else read) == num_runs


def test_no_rows():
    assert "".join(results_json([])) == "[]\n"
