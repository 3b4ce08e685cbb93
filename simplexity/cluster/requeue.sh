# The exit-code contract between a run and SLURM, for bash. The launcher's batch scripts carry this text, and
# slurm/run.sh reads this file. It is the host that asks for a requeue, so an image needs no SLURM client.
#
#   run_and_requeue COMMAND...    COMMAND should be `srun ...`: only a job step gets the signal of --signal.
#
# COMMAND's exit code 85 says "I was stopped and have saved: bring me back". Any other is returned: 0 is the end,
# and the rest makes SLURM show the job as FAILED. The script that uses it defines `resubmit`, which submits this array
# task or job anew through `submit_from_job`, for clusters that refuse to requeue.

readonly REQUEUE_ME=85
export SLURM_TIME_FORMAT=standard # for the dates of scontrol that are compared below

say() { echo "$(date +%FT%T) batch script: $*" >&2; }

# The array task and never the bare array's id, which would requeue its other tasks too.
job_name_for_slurm() { echo "${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID-$SLURM_JOB_ID}"; }

field() { [[ $1 =~ (^|[[:space:]])$2=([^[:space:]]*) ]] && echo "${BASH_REMATCH[2]}"; }

# sbatch would take this job's own variables for options of the new one.
submit_from_job() (
  for name in "${!SLURM_@}" "${!SBATCH_@}"; do
    [[ $name == SLURM_CONF || $name == SLURM_JWT ]] || unset "$name"
  done
  exec sbatch --parsable "$@"
)

# Was the job in this record of scontrol ended by scancel? A job that is being ended shows as COMPLETING, whatever the
# cause. A time limit has its own reason. A preempted job has a PreemptTime, and ends at the end of its grace time or
# later: one that ends earlier was cancelled meanwhile.
was_cancelled() {
  local record=$1 state reason preempted ended grace
  state=$(field "$record" JobState) reason=$(field "$record" Reason)
  [[ $state == CANCELLED ]] && return 0
  [[ $state != COMPLETING || $reason == TimeLimit ]] && return 1
  preempted=$(field "$record" PreemptTime)
  [[ -z $preempted || $preempted == None || $preempted == N/A ]] && return 0
  ended=$(field "$record" EndTime)
  grace=$(field "$(scontrol --oneliner show partition "$(field "$record" Partition)")" GraceTime)
  (($(date -d "$ended" +%s) < $(date -d "$preempted" +%s) + ${grace:-0}))
}

# Bring this task back, once: requeue it, or resubmit it where SLURM refuses (JobRequeue=0 and the like). Retried while
# the controller does not answer, which a restart of it explains.
come_back() {
  local me record restarts answer attempt
  me=$(job_name_for_slurm)
  for attempt in 1 2 4 8 16 32 64 64 64; do
    if record=$(scontrol --oneliner show job "$me" 2>&1) && restarts=$(field "$record" Restarts); then
      if ((restarts > ${SLURM_RESTART_COUNT:-0})); then
        say "SLURM has requeued $me"
        return 0
      elif was_cancelled "$record"; then
        say "$me was cancelled and is not requeued"
        return 0
      elif answer=$(scontrol requeue "$me" 2>&1); then
        say "requeued $me"
        return 0
      elif [[ $answer != *[Cc]ontact* && $answer != *"imed out"* ]]; then
        say "SLURM refuses to requeue $me ($answer); submitting it anew"
        answer=$(resubmit 2>&1) && say "submitted $answer in its place" && return 0
        say "sbatch failed: $answer"
        return 1
      fi
      record=$answer
    fi
    say "no answer from SLURM ($record); asking again in $attempt s"
    sleep "$attempt"
  done
  say "could not requeue $me: SLURM does not answer"
  return 1
}

# SLURM gives the batch script itself SIGTERM when it ends the job, and kills everything KillWait seconds later. It is
# asked to bring the job back at once, because a save may take longer than that.
on_term() {
  if [[ -z $came_back ]] && come_back; then came_back=yes; fi
}

run_and_requeue() {
  local code payload
  came_back=
  trap on_term TERM
  trap : CONT INT
  "$@" &
  payload=$!
  trap 'kill -USR1 "$payload"' USR1
  trap 'kill -USR2 "$payload"' USR2
  # A trapped signal ends `wait` early; the exit code counts once the payload is gone.
  until wait "$payload"; ! kill -0 "$payload" 2>/dev/null; do :; done
  wait "$payload"
  code=$?
  trap : TERM
  if ((code == REQUEUE_ME)) && [[ -z $came_back ]]; then come_back; fi
  return "$code"
}
