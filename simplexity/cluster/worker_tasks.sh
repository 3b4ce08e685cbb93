# For the batch scripts whose array tasks have several workers each: srun starts as many tasks, and each of them calls
#
#   start_worker SUBMISSION NUM_WORKERS WORKERS_PER_GPU SWEEP COMMAND...
#
# The workers of all array tasks are numbered one after the other. SLURM shows all GPUs of a job to each task: a worker
# is to see one of them. It executes runs of its own, and is no process of a run that all tasks train together.
start_worker() {
  local submission=$1 num_workers=$2 workers_per_gpu=$3 sweep=$4 number gpus
  number=$((SLURM_ARRAY_TASK_ID * SLURM_STEP_NUM_TASKS + SLURM_PROCID))
  IFS=, read -ra gpus <<<"${CUDA_VISIBLE_DEVICES-}"
  ((${#gpus[@]} < 2)) || export CUDA_VISIBLE_DEVICES=${gpus[SLURM_LOCALID / workers_per_gpu]}
  export SLURM_STEP_NUM_TASKS=1
  exec "${@:5}" --place "$submission/$number/$num_workers" "$sweep"
}
