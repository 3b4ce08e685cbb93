import json
import math
import os
import subprocess
import sys
import textwrap
from collections import deque

import pytest

from simplexity.loggers import FileLogger, RunFacts


def started(run_directory, start_step=0):
    logger = FileLogger(run_directory)
    logger.start(RunFacts(num_train_steps=100, start_step=start_step, tokens_per_step=64))
    return logger


def log_steps(run_directory, start_step, steps):
    logger = started(run_directory, start_step)
    for step in steps:
        logger.log(step, {"loss": step / 7, "validation_loss_per_position": [0.5, step / 3]})
    logger.close()


def steps_in(run_directory):
    return [json.loads(line)["step"] for line in (run_directory / "metrics.jsonl").read_text().splitlines()]


def test_a_line_is_one_json_object_with_the_step_first(tmp_path):
    logger = started(tmp_path)
    logger.log(10, {"loss": 0.1, "tokens_seen": 640, "per_position": [0.25, 0.5]})
    # Readable by others at once, without flush or close.
    assert (tmp_path / "metrics.jsonl").read_text() == (
        '{"step": 10, "loss": 0.1, "tokens_seen": 640, "per_position": [0.25, 0.5]}\n'
    )
    logger.close()


def test_what_json_cannot_say_is_null(tmp_path):
    logger = started(tmp_path)
    logger.log(1, {"loss": math.nan, "excess": math.inf, "gradient_norm": -math.inf, "per_position": [1.0, math.nan]})
    logger.close()

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    line = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    assert line == {"step": 1, "loss": None, "excess": None, "gradient_norm": None, "per_position": [1.0, None]}


@pytest.mark.parametrize("torn", [b"", b'{"step": 60, "lo', b"\x00" * 30, b'{"step": 60, "loss": 1.0}'])
@pytest.mark.parametrize(
    ("resumed_at", "kept"), [(0, []), (9, []), (10, [10]), (35, [10, 20, 30]), (99, [10, 20, 30, 40])]
)
def test_a_resumed_run_keeps_what_its_checkpoint_covers(tmp_path, torn, resumed_at, kept):
    log_steps(tmp_path, 0, [10, 20, 30, 40])
    path = tmp_path / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines) + torn)
    log_steps(tmp_path, resumed_at, [100])
    assert path.read_bytes().startswith(b"".join(lines[: len(kept)]))
    assert steps_in(tmp_path) == [*kept, 100]


def test_any_number_of_resumes_gives_the_uninterrupted_file(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    log_steps(whole, 0, range(10, 101, 10))
    # Each attempt logs further than its last checkpoint, where the next one begins; some stop in their first line.
    for start_step, steps in [(0, [10, 20, 30]), (20, [30]), (20, []), (20, [30, 40, 50, 60]), (55, [60])]:
        log_steps(broken, start_step, steps)
    log_steps(broken, 60, range(70, 101, 10))
    assert (broken / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_the_line_of_the_checkpoint_itself_may_be_logged_again(tmp_path):
    log_steps(tmp_path, 0, [10, 20])
    log_steps(tmp_path, 20, [20, 30])
    log_steps(tmp_path, 30, [30])
    assert steps_in(tmp_path) == [10, 20, 30]


def test_a_broken_line_among_whole_ones_is_told(tmp_path):
    log_steps(tmp_path, 0, [10, 20])
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\x00\x00\n" + path.read_bytes())
    with pytest.raises(RuntimeError, match=r"line 1 of .*metrics\.jsonl"):
        started(tmp_path, 20)


def test_a_kill_right_after_logging_loses_nothing(tmp_path):
    script = """
        import os, sys
        from pathlib import Path
        from simplexity.loggers import FileLogger, RunFacts
        logger = FileLogger(Path(sys.argv[1]))
        logger.start(RunFacts(100, 0, 64))
        for step in range(10, 60, 10):
            logger.log(step, {"loss": 1.0})
        os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), tmp_path])
    assert steps_in(tmp_path) == [10, 20, 30, 40, 50]


def test_what_cannot_be_written_is_told_in_one_line(tmp_path):
    with pytest.raises(
        RuntimeError, match=r"metrics cannot be written to `.*metrics\.jsonl`: No such file or directory"
    ):
        started(tmp_path / "missing")
    logger = FileLogger(tmp_path)
    with pytest.raises(RuntimeError, match="before `start`"):
        logger.log(1, {"loss": 1.0})
    logger.close()


def test_a_full_disk_is_told_and_leaves_whole_lines(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        logger = started(disk)
        with pytest.raises(RuntimeError, match=r"`.*/disk/metrics\.jsonl`: No space left on device"):
            deque(logger.log(step, {"per_position": [step / 7] * 100}) for step in range(1, 100))
        with pytest.raises(RuntimeError, match="No space left"):
            logger.close()
        logger.close()
        last = len((disk / "metrics.jsonl").read_bytes().split(b"\n")) - 1
        with pytest.raises(RuntimeError, match=r"metrics\.jsonl`: No space left on device"):
            started(disk, start_step=1000)
        assert os.listdir(disk) == ["metrics.jsonl"]
        subprocess.run(["mount", "-o", "remount,size=256k", disk], check=True)
        started(disk, start_step=1000).close()
        assert steps_in(disk) == list(range(1, last + 1))
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
