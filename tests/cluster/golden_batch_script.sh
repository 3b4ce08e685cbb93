#!/bin/bash
#SBATCH --job-name=seeds_and_sizes
#SBATCH --array=0-2,5%2
#SBATCH --output=/dev/null
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --partition=preemptible
#SBATCH --account=group
#SBATCH --qos=long
#SBATCH --constraint=a100|h100
#SBATCH --gpus-per-node=2
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=240
#SBATCH --exclude=n7
#SBATCH --exclusive

(the contract)

readonly SWEEP='/data/it'"'"'s mine/sweep'
readonly INDEX=$((1001 + SLURM_ARRAY_TASK_ID))
readonly LOG="$SWEEP/logs/$INDEX" TASK=(--sweep "$SWEEP" --index "$INDEX")
mkdir -p "$SWEEP/logs" && exec >>"$LOG.log" 2>&1 || exit
rm -f "$LOG.exit"
trap 'echo $? >"$LOG.exit"' EXIT

resubmit() {
  local job
  job=$(submit_from_job --array="$SLURM_ARRAY_TASK_ID" '/data/it'"'"'s mine/sweep/array_1001.sh') || return
  echo "$job" >>"$LOG.jobs"
  echo "$job"
}

cd '/home/me/$x' || exit
export SIMPLEXITY_SUBMISSION=array_1001
export PYTHONUNBUFFERED=1
export SIMPLEXITY_TIME_LIMIT_S=14400
export SIMPLEXITY_SIGNAL_LEAD_S=120
export JAX_PLATFORMS=cuda
export ODD='it'"'"'s $HOME'
export SIMPLEXITY_CACHE='/shared/a cache'
export TMPDIR=/scratch/me
mkdir -p "$TMPDIR" || exit
module load cuda
run_and_requeue srun --mpi=none --export=ALL --cpus-per-task=4 --kill-on-bad-exit=0 --wait=300 python -m simplexity.execute_run "${TASK[@]}"
