"""What a batch script does with the end of its run, by programs that stand in for srun, scontrol and sbatch."""

import json
import subprocess
from pathlib import Path

import pytest

from simplexity.cluster import ArraySlice, batch_script
from tests.profiles import dev_profile

ROOT = Path(__file__).parents[2]
RECORD = "JobId=7 Restarts=0 JobState=RUNNING Reason=None PreemptTime=None Partition=low EndTime=Unknown"


@pytest.fixture
def run_script(tmp_path):
    """Executes a batch script whose run is a line of shell -> its exit code and log."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "date", "mkdir", "rm", "sleep", "env", "cat", "cut", "grep", "paste", "sed", "sort"):
        (programs / name).symlink_to(Path("/bin") / name)

    def put(name: str, text: str) -> None:
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755)

    def run(
        work: str, *, without: str = "", setup: tuple[str, ...] = (), gpus: dict | None = None, **settings
    ) -> tuple[int, str]:
        put("srun", f'echo "$*" >>{tmp_path}/srun\n{work}')
        put("scontrol", f'echo "$*" >>{tmp_path}/scontrol\n[[ $1 == requeue ]] || echo "{RECORD}"')
        put("squeue", f'echo "$*" >>{tmp_path}/squeue\nprintf "%s\\n" 5_2 7_0 7_1 8_4')
        put("scancel", f'echo "$*" >>{tmp_path}/scancel')
        if without:
            (programs / without).unlink()
        script = batch_script(
            job_name="x", task_command=["run"], sweep_folder=tmp_path / "sweep", script_path=tmp_path / "array_3.sh",
            working_folder=tmp_path, array=ArraySlice(0, (0,)), parallelism=None,
            profile=dev_profile(setup=list(setup), sbatch_options={"export": "NONE"}, **(gpus or {})),
            **settings,
        )  # fmt: skip
        job = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0", "PATH": str(programs)}
        done = subprocess.run(["/bin/bash", "-c", script], env=job, cwd=tmp_path, timeout=60)
        name = "array_3_0" if settings.get("has_workers") else "0"
        return done.returncode, (tmp_path / f"sweep/logs/{name}.log").read_text()

    return run


def asked(tmp_path) -> str:
    return (tmp_path / "scontrol").read_text() if (tmp_path / "scontrol").exists() else ""


@pytest.mark.parametrize(
    ("work", "comes_back"),
    [
        ("exit 85", True),
        ("kill -KILL $$", True),
        ("kill -SEGV $$", True),
        ("exit 137", True),
        ("kill -USR2 $$", True),
        ("exit 130", False),
        ("exit 255", False),
        ("exit 1", False),
        ("exit 2", False),
        ("exit 0", False),
    ],
)
def test_what_is_stopped_or_killed_comes_back(run_script, tmp_path, work, comes_back):
    code, log = run_script(work)
    assert ("requeue 7_0" in asked(tmp_path)) is comes_back
    assert ("requeued 7_0" in log) is comes_back
    assert ("ended by signal" in log) is (comes_back and code != 85)
    left = tmp_path / "sweep/logs/0.exit"
    assert (left.read_text() if left.exists() else None) == (None if comes_back else f"{code}\n")


BEGUN, COMPLETE, STARTED = '{"run":3}', '{"run":3,"exit_code":0}', '{"pid":12}'


@pytest.mark.parametrize(
    ("earlier", "record", "code", "comes_back"),
    [
        ([], [STARTED, BEGUN], 7, True),
        ([], [STARTED, BEGUN], 1, True),
        ([], [STARTED, BEGUN], 0, True),
        ([], [STARTED, BEGUN], 255, True),
        ([STARTED, BEGUN], [STARTED, BEGUN, '{"run":4}', COMPLETE], 1, True),
        ([], [STARTED, BEGUN, COMPLETE], 1, False),
        ([], [STARTED, BEGUN, COMPLETE], 0, False),
        ([], [STARTED, BEGUN, STARTED], 2, False),
        # It could not even begin its record: what stands there is of an earlier process.
        ([STARTED, BEGUN], [], 2, False),
        ([STARTED, BEGUN, '{"died":"x"}'], [], 2, False),
        ([], [], 2, False),
    ],
)
def test_a_worker_that_ends_in_the_middle_of_a_run_comes_back(run_script, tmp_path, earlier, record, code, comes_back):
    path = tmp_path / "sweep/sweep/workers/array_3_0.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{line}\n" for line in earlier))
    ended, log = run_script("".join(f"echo '{line}' >>{path}\n" for line in record) + f"exit {code}", has_workers=True)
    assert ("requeue 7_0" in asked(tmp_path)) is comes_back
    assert ended == (85 if comes_back else code)
    death = [f'{{"died":"its process exited with code {code}"}}'] if comes_back else []
    assert path.read_text().splitlines() == [*earlier, *record, *death]
    assert "ended by signal" not in log


def test_a_worker_that_has_used_up_the_memory_of_its_job_is_said_to_have(run_script, tmp_path):
    """The words of srun 22.05, whose exit code is 1 where task/cgroup has killed the task."""
    path = tmp_path / "sweep/sweep/workers/array_3_0.jsonl"
    path.parent.mkdir(parents=True)
    words = "srun: error: n1: task 0: Out Of Memory"
    begins = f"echo '{STARTED}' >>{path}; echo '{BEGUN}' >>{path}"
    for work in (f"{begins}; echo '{words}' >&2; exit 1", f"{begins}; exit 1"):
        assert run_script(work, has_workers=True)[0] == 85
    deaths = [line for line in path.read_text().splitlines() if "died" in line]
    # What an earlier start has printed says nothing of this one.
    assert deaths == ['{"died":"its process ran out of memory"}', '{"died":"its process exited with code 1"}']


# As srun starts four tasks on a node with two GPUs, and returns the highest of their codes.
FOUR_TASKS = """
until [[ $1 == bash ]]; do shift; done
export SLURM_STEP_NUM_TASKS=4 CUDA_VISIBLE_DEVICES=${GPUS-3,5} highest=0
for SLURM_PROCID in 0 1 2 3; do
  export SLURM_PROCID SLURM_LOCALID=$SLURM_PROCID
  PATH=$PWD:$PATH "$@"
  code=$?
  ((code < highest)) || highest=$code
done
exit "$highest"
"""
SHARED_GPUS = {"gpus_per_node": 2, "tasks_per_gpu": 2}


def put_worker(tmp_path: Path, text: str) -> Path:
    """The command `run` of each worker; returns the folder of their records."""
    (tmp_path / "run").write_text(f"#!/bin/bash\n{text}\n")
    (tmp_path / "run").chmod(0o755)
    records = tmp_path / "sweep/sweep/workers"
    records.mkdir(parents=True)
    return records


def test_each_worker_of_a_task_has_a_place_and_its_share_of_a_gpu(run_script, tmp_path):
    put_worker(tmp_path, 'echo "$* $SLURM_STEP_NUM_TASKS $CUDA_VISIBLE_DEVICES $XLA_PYTHON_CLIENT_MEM_FRACTION"')
    code, log = run_script(FOUR_TASKS, has_workers=True, gpus=SHARED_GPUS)
    places = [f"--place array_3/{number}/4 {tmp_path}/sweep 1 {gpu} 0.450" for number, gpu in enumerate("3355")]
    assert (code, log.splitlines()) == (0, places)
    assert " --kill-on-bad-exit=0 --wait=0 bash -c " in (tmp_path / "srun").read_text()


@pytest.mark.parametrize(
    ("codes", "in_a_run", "comes_back"),
    [
        ((0, 0, 0, 0), [], False),
        ((0, 1, 0, 0), [], False),
        ((0, 1, 85, 0), [], True),
        ((0, 1, 137, 85), [2], True),
        ((0, 3, 1, 0), [1], True),
        ((0, 0, 0, 0), [0, 3], True),
        ((0, 255, 85, 0), [], True),
        ((0, 125, 85, 0), [], True),
        ((130, 0, 85, 0), [], True),
        ((255, 137, 0, 0), [], True),
        # It has given its run to another process.
        ((1, 85, 0, 0), [1], True),
        ((3, 85, 85, 130), [0], True),
        ((0, 130, 0, 0), [], False),
    ],
)
def test_a_task_comes_back_if_one_of_its_workers_is_to(run_script, tmp_path, codes, in_a_run, comes_back):
    work = f"""
    codes=({" ".join(map(str, codes))}) record=$3/sweep/workers/array_3_$SLURM_PROCID.jsonl
    echo '{STARTED}' >>"$record"
    [[ ' {" ".join(map(str, in_a_run))} ' != *" $SLURM_PROCID "* ]] || echo '{BEGUN}' >>"$record"
    exit "${{codes[SLURM_PROCID]}}"
    """
    records = put_worker(tmp_path, work)
    run_script(FOUR_TASKS, has_workers=True, gpus=SHARED_GPUS)
    assert ("requeue 7_0" in asked(tmp_path)) is comes_back
    for number, code in enumerate(codes):
        death = {137: "was killed by SIGKILL"}.get(code, f"exited with code {code}")
        noted = [f'{{"died":"its process {death}"}}'] if number in in_a_run and code != 85 else []
        begun = [BEGUN] if number in in_a_run else []
        assert (records / f"array_3_{number}.jsonl").read_text().splitlines() == [STARTED, *begun, *noted]


def test_a_worker_of_several_gets_the_signals_of_its_task(run_script, tmp_path):
    """SLURM sends them to the process that srun has started."""
    put_worker(tmp_path, "trap 'exit 85' USR2\nkill -USR2 $PPID\nfor i in {1..500}; do sleep 0.01; done")
    run_script(FOUR_TASKS, has_workers=True, gpus=SHARED_GPUS)
    exits = sorted((tmp_path / "sweep/sweep/workers").glob("*.exit"))
    assert [path.read_text() for path in exits] == ["85\n"] * 4
    assert "requeue 7_0" in asked(tmp_path)


@pytest.mark.parametrize("gpus", ["", "0"])
def test_workers_are_refused_where_slurm_does_not_name_all_gpus(run_script, tmp_path, gpus):
    """All of them would take the one GPU, with the share of memory of a few."""
    put_worker(tmp_path, 'echo >"$3/started"')
    code, log = run_script(f"GPUS={gpus}\n{FOUR_TASKS}", has_workers=True, gpus=SHARED_GPUS)
    assert code == 2
    assert not (tmp_path / "sweep/started").exists()
    assert log.count("\n") == 1
    assert f"the job has 2 GPUs, and CUDA_VISIBLE_DEVICES names {len(gpus)}: set cluster.tasks_per_gpu=null" in log
    assert "requeue 7_0" not in asked(tmp_path)


@pytest.mark.parametrize(
    ("work", "stops", "cancels"),
    [("exit 1", True, True), ("exit 2", True, True), ("exit 1", False, False), ("exit 0", True, False),
     ("exit 85", True, False), ("kill -KILL $$", True, False)],
)  # fmt: skip
def test_a_failed_task_cancels_the_others_where_it_is_to(run_script, tmp_path, work, stops, cancels):
    (tmp_path / "sweep/logs").mkdir(parents=True)
    (tmp_path / "sweep/sweep").mkdir()
    (tmp_path / "sweep/logs/4.jobs").write_text("8;cluster\n")
    lines = [json.dumps({"indices": [0], "job_id": job}) for job in ("5", "7", None)]
    (tmp_path / "sweep/sweep/submissions.jsonl").write_text("\n".join(lines))
    run_script(work, stops_on_failure=stops)
    assert (tmp_path / "scancel").exists() is cancels
    if cancels:
        assert "--jobs=5,7,8 " in (tmp_path / "squeue").read_text()
        assert (tmp_path / "scancel").read_text() == "--quiet 5_2 7_1 8_4\n"


def test_a_node_without_scontrol_is_no_controller_that_is_down(run_script):
    code, log = run_script("exit 85", without="scontrol")
    assert code == 85
    assert "there is no scontrol on " in log
    assert "no answer from SLURM" not in log


def test_a_step_gets_the_jobs_variables_whatever_sbatch_was_told(run_script, tmp_path):
    run_script('env >"$PWD/step"')
    assert " --export=ALL " in (tmp_path / "srun").read_text()
    step = (tmp_path / "step").read_text().splitlines()
    for line in ("SIMPLEXITY_SUBMISSION=array_3", "SIMPLEXITY_TIME_LIMIT_S=3600", "SIMPLEXITY_SIGNAL_LEAD_S=60"):
        assert line in step


def test_what_fails_before_the_run_leaves_its_exit_code(run_script, tmp_path):
    (tmp_path / "sweep/logs").mkdir(parents=True)
    (tmp_path / "sweep/logs/0.exit").write_text("85\n")
    assert run_script("exit 0", setup=('[[ ! -e "$SWEEP/logs/0.exit" ]] || exit 9', "exit 3"))[0] == 3
    assert (tmp_path / "sweep/logs/0.exit").read_text() == "3\n"
    assert not (tmp_path / "srun").exists()


@pytest.mark.parametrize(
    ("python", "code", "says"),
    [
        (".venv/bin/python", 0, ""),
        ("programs/python3", 0, "slurm/run.sh: there is no .venv in {}: using {}/programs/python3\n"),
        (None, 2, "slurm/run.sh: there is no .venv in {}, and no python in PATH: run make run there, or set "),
    ],
)
def test_one_run_says_which_python_it_takes_if_there_is_no_environment(tmp_path, python, code, says):
    for name in ("slurm/run.sh", "simplexity/cluster/requeue.sh"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("date", "readlink", "mkdir"):
        (programs / name).symlink_to(Path("/bin") / name)
    texts = {"programs/srun": 'echo "$*"', "programs/scontrol": f'echo "{RECORD}"'}
    for name, text in (texts | ({python: ""} if python else {})).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": str(tmp_path), "PATH": str(programs)}
    done = subprocess.run(
        ["/bin/bash", str(tmp_path / "slurm/run.sh")], env=job, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done
    said = says.format(tmp_path, tmp_path)
    assert done.stderr.startswith(said) if code else done.stdout.startswith(said)
    assert ("simplexity/run_experiment.py hydra.run.dir=outputs/slurm/7" in done.stdout) == (code == 0)
