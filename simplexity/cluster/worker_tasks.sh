# For the batch scripts whose array tasks have several workers each: srun starts as many tasks, and each of them calls
#
#   start_worker SUBMISSION NUM_WORKERS WORKERS_PER_GPU SWEEP COMMAND...
#
# The workers of all array tasks are numbered one after the other. SLURM shows all GPUs of a job to each task: a worker
# is to see one of them. It executes runs of its own, and is no process of a run that all tasks train together. Its exit
# code is left in a file beside its record, because srun returns only the highest of all.
start_worker() {
  local submission=$1 num_workers=$2 workers_per_gpu=$3 sweep=$4 number gpus num_gpus worker code name
  number=$((SLURM_ARRAY_TASK_ID * SLURM_STEP_NUM_TASKS + SLURM_PROCID))
  num_gpus=$((SLURM_STEP_NUM_TASKS / workers_per_gpu))
  IFS=, read -ra gpus <<<"${CUDA_VISIBLE_DEVICES-}"
  if ((num_gpus > 1 && ${#gpus[@]} < num_gpus)); then
    ((SLURM_LOCALID > 0)) || echo "batch script: the job has $num_gpus GPUs, and CUDA_VISIBLE_DEVICES names" \
      "${#gpus[@]}: set cluster.tasks_per_gpu=null, or have SLURM set it (gres.conf: Flags=nvidia_gpu_env)" >&2
    return 2
  fi
  ((${#gpus[@]} < 2)) || export CUDA_VISIBLE_DEVICES=${gpus[SLURM_LOCALID / workers_per_gpu]}
  export SLURM_STEP_NUM_TASKS=1
  # Most clusters signal only the first process of each of srun's tasks, which is this shell.
  for name in TERM HUP INT USR1 USR2; do
    # shellcheck disable=SC2064  # the name of now
    trap "[[ -n \$! ]] || exit 85; kill -$name \$! 2>/dev/null" "$name"
  done
  "${@:5}" --place "$submission/$number/$num_workers" "$sweep" &
  worker=$!
  # A trapped signal ends `wait` early; the exit code counts once the worker is gone.
  until wait "$worker"; ! kill -0 "$worker" 2>/dev/null; do :; done
  wait "$worker"
  code=$?
  mkdir -p "$sweep/sweep/workers"
  echo "$code" >"$sweep/sweep/workers/${submission}_$number.exit"
  return "$code"
}
