#!/bin/bash
# One experiment as a SLURM job that survives preemption and time limits. From the checkout:
#
#   sbatch slurm/run.sh [overrides]                           what run_experiment.py takes: sbatch slurm/run.sh seed=3
#   sbatch --time=30 --gpus-per-node=1 slurm/run.sh           options before the script outrank those below
#   sbatch --array=0-7 slurm/run.sh [overrides]               seeds 0 to 7
#   sbatch --nodes=2 --ntasks-per-node=4 slurm/run.sh         one run in 8 processes, a share of each batch in every one
#   SIMPLEXITY_IMAGE=simplexity.sif sbatch slurm/run.sh       in a container
#
# The run is in outputs/slurm/JOBID, or JOBID_SEED for an array, with what it prints in slurm.out, and every restart
# continues it there.

#SBATCH --job-name=simplexity
#SBATCH --time=04:00:00
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --signal=USR2@120
#SBATCH --requeue
#SBATCH --open-mode=append

# SLURM runs a copy of this script, so its own place says nothing about the checkout.
cd "${SLURM_SUBMIT_DIR:?is not set: submit this script, as in: sbatch slurm/run.sh}" || exit
[[ -f simplexity/cluster/requeue.sh ]] || cd .. || exit
if [[ ! -f simplexity/cluster/requeue.sh ]]; then
  echo "slurm/run.sh: $SLURM_SUBMIT_DIR is not the checkout; submit from there: cd CHECKOUT && sbatch slurm/run.sh" >&2
  exit 2
fi
source simplexity/cluster/requeue.sh || exit

# A resubmitted job has another id, and inherits the name.
export SIMPLEXITY_RUN_NAME=${SIMPLEXITY_RUN_NAME:-$(job_name_for_slurm)}
export SIMPLEXITY_SUBMISSION=$SIMPLEXITY_RUN_NAME SIMPLEXITY_SIGNAL_LEAD_S=120
if end=$(field "$(scontrol --oneliner show job "$SLURM_JOB_ID")" EndTime) && end=$(date -d "$end" +%s 2>/dev/null); then
  export SIMPLEXITY_TIME_LIMIT_S=$((end - SIMPLEXITY_JOB_START))
fi

# What is printed goes where the run is. SLURM has opened its file before the run had a folder: its own name for it is
# given up, another that was asked for with --output stays.
default_log=slurm-$(job_name_for_slurm).out
if [[ $(readlink "/proc/$$/fd/1") == */"$default_log" ]]; then
  default_log=$(readlink "/proc/$$/fd/1")
  mkdir -p "outputs/slurm/$SIMPLEXITY_RUN_NAME" && exec >>"outputs/slurm/$SIMPLEXITY_RUN_NAME/slurm.out" 2>&1 || exit
  [[ -s $default_log ]] || rm -f "$default_log"
fi

# The options of this job that may have come from the command line of sbatch, for a cluster that refuses to requeue.
options_of_this_job() {
  local record option value
  record=$(scontrol --oneliner show job "$(job_name_for_slurm)")
  for option in partition=Partition account=Account qos=QOS time=TimeLimit nodes=NumNodes ntasks=NumTasks \
    cpus-per-task=CPUs/Task constraint=Features gres=TresPerNode mem=MinMemoryNode mem-per-cpu=MinMemoryCPU; do
    value=$(field "$record" "${option#*=}")
    [[ -z $value || $value == "(null)" || $value == N/A || $value == UNLIMITED ]] || echo "--${option%%=*}=${value#gres[:/]}"
  done
}

submitted_again_with=("$@")
resubmit() {
  local options
  mapfile -t options < <(options_of_this_job)
  if [[ -n ${SLURM_ARRAY_TASK_ID-} ]]; then options+=(--array="$SLURM_ARRAY_TASK_ID"); fi
  submit_from_job "${options[@]}" slurm/run.sh "${submitted_again_with[@]}"
}

if [[ -n ${SIMPLEXITY_IMAGE-} ]]; then
  command=(containers/run.sh "$SIMPLEXITY_IMAGE")
elif [[ -x .venv/bin/python ]]; then
  command=(.venv/bin/python simplexity/run_experiment.py)
elif python=$(command -v python || command -v python3); then
  # What a module or conda has put into PATH. Said, because another Python would train with other versions.
  echo "slurm/run.sh: there is no .venv in $PWD: using $python"
  command=("$python" simplexity/run_experiment.py)
else
  echo "slurm/run.sh: there is no .venv in $PWD, and no python in PATH: run make run there, or set SIMPLEXITY_IMAGE" >&2
  exit 2
fi
command+=("hydra.run.dir=outputs/slurm/$SIMPLEXITY_RUN_NAME")
if [[ -n ${SLURM_ARRAY_TASK_ID-} ]]; then command+=("seed=$SLURM_ARRAY_TASK_ID"); fi

# srun does not inherit --cpus-per-task from sbatch since SLURM 22.05. A job that was submitted with --export=NONE would
# hand none of its variables to its steps.
srun=(srun --mpi=none --export=ALL --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}")
# A site's KillOnBadExit=1 would kill the process that saves as soon as another exited with 85.
if ((${SLURM_NTASKS:-1} > 1)); then srun+=(--kill-on-bad-exit=0 --wait=300); fi
run_and_requeue "${srun[@]}" "${command[@]}" "$@"
