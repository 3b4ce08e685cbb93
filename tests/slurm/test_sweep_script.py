"""`slurm/sweep.sh` without Apptainer: containers/run.sh is a stand-in, and a Python of the host plays the image."""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simplexity.cluster import SlurmError, queued_tasks

ROOT = Path(__file__).parents[2]
ODD = "a b\\'c $HOME `id`\nü *"


@pytest.fixture
def sweep(tmp_path):
    """Starts sweep.sh with arguments; `inside` is what the image's Python then does."""
    checkout = tmp_path / "a checkout"
    for name in ("slurm/sweep.sh", "simplexity/cluster/image.sh"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    (checkout / "containers").mkdir()
    (checkout / "inside.py").write_text("")
    (checkout / "simplexity-cpu.sif").touch()
    stand_in = checkout / "containers/run.sh"
    stand_in.write_text(f'#!/usr/bin/env bash\nexec {sys.executable} "{checkout}/inside.py" "$@"\n')
    stand_in.chmod(0o755)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "dirname", "env", "mkfifo", "mktemp", "rm", "sed", "timeout"):
        (programs / name).symlink_to(shutil.which(name))

    def put(name: str, text: str) -> None:
        (programs / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (programs / name).chmod(0o755)

    def start(
        *arguments: str, inside: str = "", cwd: Path = tmp_path, **environment: str
    ) -> subprocess.CompletedProcess:
        (checkout / "inside.py").write_text(inside)
        own = {"PATH": str(programs), "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), **environment}
        return subprocess.run(
            [checkout / "slurm/sweep.sh", *arguments], cwd=cwd, env=own, capture_output=True, text=True, timeout=120
        )

    start.put, start.folder = put, tmp_path
    return start


SHOW = "import json, os, sys\nprint(json.dumps([sys.argv[1:], os.environ['SIMPLEXITY_IMAGE']]))"


@pytest.mark.parametrize(
    ("typed", "executed"),
    [
        (["seed=0,1"], ["run_experiment", "--multirun", "hydra/launcher=slurm", "seed=0,1"]),
        (["~validation"], ["run_experiment", "--multirun", "hydra/launcher=slurm", "~validation"]),
        (["train_model", "a=b c"], ["train_model", "--multirun", "hydra/launcher=slurm", "a=b c"]),
        (["status", "multirun/x", "--watch"], ["simplexity", "status", "multirun/x", "--watch"]),
        (["retry", "multirun/x", "--failed"], ["simplexity", "retry", "multirun/x", "--failed"]),
    ],
)
def test_what_the_image_is_told_to_do(sweep, typed, executed):
    done = sweep(*typed, inside=SHOW)
    words, image = json.loads(done.stdout)
    assert (words[0], words[2], words[3:]) == ("--bind", image, executed)
    assert image.endswith("/a checkout/simplexity-cpu.sif")
    assert json.loads(sweep("x=1", inside=SHOW, SIMPLEXITY_IMAGE="my.sif").stdout)[1] == f"{sweep.folder}/my.sif"


def test_without_an_image_one_line_says_how_to_get_one(sweep):
    (sweep.folder / "a checkout/simplexity-cpu.sif").unlink()
    done = sweep("seed=0,1")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "which image? containers/build.sh makes one" in done.stderr


def test_the_host_executes_slurm_for_the_image_as_submission_would(sweep):
    sweep.put("sbatch", f'env >"{sweep.folder}/env"; printf "%s\\0" "$@" >"{sweep.folder}/words"; echo "77;name"')
    sweep.put("squeue", "echo said; echo refused >&2; exit 3")
    inside = (
        "from pathlib import Path\nfrom simplexity.cluster import *\n"
        f"print(slurm_is_installed(), submit(Path('/x'), [{ODD!r}, '']))\n"
        "try: queued_tasks(['1'])\nexcept SlurmError as error: print(error)\n"
        "try: accounted_tasks(['1'])\nexcept SlurmError as error: print(error)\n"
    )
    done = sweep("x=1", inside=inside, SLURM_JOB_ID="5", SBATCH_TIMELIMIT="1", SLURM_CONF="/the/one")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "True 77",
        "`squeue` failed: refused",
        "there is no `sacct` here; run this where SLURM's programs are installed",
    ]
    assert (sweep.folder / "words").read_text().split("\0")[:-1] == ["--parsable", ODD, "", "/x"]
    variables = (sweep.folder / "env").read_text().splitlines()
    assert "SLURM_CONF=/the/one" in variables
    # A job must not take itself for an image that sweep.sh has started.
    assert not any(line.startswith(("SLURM_JOB_ID", "SBATCH_", "SIMPLEXITY_HOST")) for line in variables)


def test_the_host_looks_at_images_and_binds_for_the_image(sweep):
    inside = (
        "from simplexity.cluster import *\n"
        "try: inspect_container(Container(image='/nowhere/a.sif', runtime='apptainer', binds=[], env={}))\n"
        "except ValueError as error: print(error)\n"
    )
    done = sweep("x=1", inside=inside)
    assert done.stdout.startswith("there is no image /nowhere/a.sif on ")
    assert done.stdout.count("\n") == 1


def test_nothing_else_of_the_host_can_be_called(sweep):
    inside = (
        "import os\nfolder = os.environ['SIMPLEXITY_HOST']\n"
        "request = b'2 a\\0touch\\0' + folder.encode() + b'/touched\\x002 a\\0'\n"
        "with open(f'{folder}/request', 'wb') as pipe: pipe.write(request)\n"
        "with open(f'{folder}/answer') as pipe: print(pipe.readline().strip(), os.path.exists(f'{folder}/touched'))\n"
    )
    assert sweep("x=1", inside=inside).stdout == "127 False\n"


@pytest.mark.parametrize(
    "pieces",
    [
        # On a busy machine, seconds may pass between two bytes that are read.
        [b"2", b" a\0sque", b"ue\0--me\x002", b" a\0"],
        # A number that is none would be evaluated by bash, commands in it included.
        [b"a[$(echo >FOLDER/touched)]\0", b"0 a\x000 a\0", b"2 b\0squeue\0--me\x002 b\0"],
    ],
)
def test_a_request_is_read_whole_and_never_evaluated(sweep, pieces):
    sweep.put("squeue", 'echo "said $*"')
    refused = ["127"] * pieces.count(b"0 a\x000 a\0")
    inside = (
        "import os, time\nfolder = os.environ['SIMPLEXITY_HOST']\n"
        f"with open(f'{{folder}}/request', 'wb', buffering=0) as pipe:\n"
        f"    for piece in {pieces!r}:\n"
        "        pipe.write(piece.replace(b'FOLDER', os.fsencode(folder)))\n"
        "        time.sleep(1.2)\n"
        "with open(f'{folder}/answer') as pipe: codes = [pipe.readline() for _ in range(EXPECTED)]\n"
        "print(*codes, os.path.exists(f'{folder}/touched'), open(f'{folder}/stdout').read())\n"
    ).replace("EXPECTED", str(1 + len(refused)))
    assert sweep("x=1", inside=inside).stdout.split() == [*refused, "0", "False", "said", "--me"]


@pytest.mark.parametrize("pause_s", [0, 3])
def test_a_request_that_was_cut_off_is_not_executed(sweep, pause_s):
    """Whoever asks may be killed in the middle: `scancel 1_0` would cancel another task, and so would `1_11`."""
    script = sweep.folder / "a checkout/slurm/sweep.sh"
    text = script.read_text()
    script.write_text(text.replace("-t 60 ", "-t 1 "))
    assert script.read_text() != text
    sweep.put("scancel", f'echo "$@" >"{sweep.folder}/cancelled"')
    sweep.put("squeue", "echo said")
    inside = (
        "import os, time\nfolder = os.environ['SIMPLEXITY_HOST']\n"
        "def write(request):\n"
        "    with open(f'{folder}/request', 'wb') as pipe: pipe.write(request)\n"
        "write(b'4 a\\0scancel\\x001_0\\x001_1')\n"
        f"time.sleep({pause_s})\n"
        # This one is not executed either if the first one has taken its words.
        "write(b'2 b\\0squeue\\0--me\\x002 b\\0')\n"
        "time.sleep(3)\n"
        "write(b'1 c\\0squeue\\x001 c\\0')\n"
        "with open(f'{folder}/answer') as pipe: print(pipe.readline().strip())\n"
        "print(open(f'{folder}/stdout').read())\n"
    )
    assert sweep("x=1", inside=inside).stdout.split() == ["0", "said"]
    assert not (sweep.folder / "cancelled").exists()


def test_the_exit_code_comes_back_and_nothing_stays_behind(sweep):
    done = sweep("x=1", inside="import os\nprint(os.environ['SIMPLEXITY_HOST'])\nraise SystemExit(85)")
    assert done.returncode == 85
    folder = Path(done.stdout.strip())
    deadline = time.monotonic() + 60
    while folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("while_it_executes", [False, True])
def test_a_host_that_is_gone_is_told(tmp_path, monkeypatch, while_it_executes):
    monkeypatch.setenv("SIMPLEXITY_HOST", str(tmp_path))
    (tmp_path / "programs").write_text("squeue\n")
    for name in ("request", "answer"):
        os.mkfifo(tmp_path / name)
    host = [os.open(tmp_path / name, os.O_RDWR) for name in ("request", "answer") if while_it_executes]
    wait = select.select

    def end_and_wait(*arguments):
        for pipe in host:
            os.close(pipe)
        return wait(*arguments)

    monkeypatch.setattr(select, "select", end_and_wait)
    with pytest.raises(SlurmError, match=r"`squeue` cannot be executed: the process .* has ended"):
        queued_tasks(["7"])
