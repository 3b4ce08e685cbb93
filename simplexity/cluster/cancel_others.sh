# For the batch scripts of sweeps with hydra.launcher.on_failure=stop: a task whose run has failed cancels the others,
# which save. The sweep's array jobs stand in its submissions; this one also where the process that has submitted it has
# not written that down yet; and those that were submitted in place of a task in logs/*.jobs. A task that ends is left
# out, so that SLURM calls it FAILED and not CANCELLED.
failed() {
  local jobs others
  jobs=$({
    echo "$SLURM_ARRAY_JOB_ID"
    cat "$SWEEP"/logs/*.jobs
    sed -nE 's/.*"job_id": *"([0-9]+).*/\1/p' "$SWEEP/sweep/submissions.jsonl"
  } 2>/dev/null | cut -d';' -f1 | sort -un | paste -sd,)
  others=$(undisturbed squeue --noheader --array --jobs="$jobs" --format=%F_%K | grep -vx "$(job_name_for_slurm)")
  report "cancelling the sweep's other tasks, because of hydra.launcher.on_failure=stop"
  # shellcheck disable=SC2086  # an argument for each task
  [[ -z $others ]] || undisturbed scancel --quiet $others
}
