# The exit-code contract between a run and SLURM, for bash. The launcher's batch scripts carry this text, and
# slurm/run.sh reads this file. It is the host that asks for a requeue, so an image needs no SLURM client.
#
#   run_and_requeue COMMAND...    COMMAND should be `srun ...`: only a job step gets the signal of --signal.
#
# COMMAND's exit code 85 means "requeue me": it was stopped and has saved, or could not read a file and tries once
# more. So does a death by any signal but Ctrl-C's (128 and the number of a signal that there is): a stop that a
# container or a Python that is still starting cannot handle yet, `kill -9`, memory that was used up, a crash. The run
# counts its starts, and fails after a few in vain. Any other code is returned: 0 is the end, and the rest makes SLURM
# show the job as FAILED. A worker that exits in the middle of a run has died too, whatever the code. The script that
# uses it defines `resubmit`, which submits this array task or job anew through `submit_from_job`, for clusters that
# refuse to requeue. It also exports what a run knows of its job: see simplexity/runs/_job.py.

readonly REQUEUE_ME=85 KILLED=128 KILLED_BY_INT=130
export SLURM_TIME_FORMAT=standard # for the dates of scontrol that are compared below
SIMPLEXITY_JOB_START=$(date +%s)
export SIMPLEXITY_JOB_START

# The signal by which a process of this exit code has died, if it was one and not Ctrl-C's. exit(-1) is code 255, and no
# signal.
signal_of() { (($1 > KILLED && $1 != KILLED_BY_INT)) && kill -l $(($1 - KILLED)) 2>/dev/null; }

# Which exit code decides what is done, if COMMAND stands for several processes: by default, COMMAND's.
code_that_counts() { echo "$1"; }

# Notes down which workers have died in the middle of a run, given COMMAND's exit code, and says whether any has.
note_deaths() { false; }

# What else the script does when the run has failed, and nothing starts it again.
failed() { :; }

report() { echo "$(date +%FT%T) batch script: $*" >&2; }

# The array task and never the bare array's id, which would requeue its other tasks too.
job_name_for_slurm() { echo "${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID-$SLURM_JOB_ID}"; }

field() { [[ $1 =~ (^|[[:space:]])$2=([^[:space:]]*) ]] && echo "${BASH_REMATCH[2]}"; }

# The SIGTERM that ends a job, and a requeue ends it too, goes to every process of the batch script: one that asks SLURM
# for something must live to see the answer.
undisturbed() (
  trap '' TERM
  exec "$@"
)

# sbatch would take this job's own variables for options of the new one. The new one waits for this one's end: it is
# asked for as soon as a stop of this one is requested, which then saves.
submit_from_job() (
  options=(--parsable --dependency="afterany:$SLURM_JOB_ID")
  for name in "${!SLURM_@}" "${!SBATCH_@}"; do
    [[ $name == SLURM_CONF || $name == SLURM_JWT ]] || unset "$name"
  done
  undisturbed sbatch "${options[@]}" "$@"
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
  grace=$(field "$(undisturbed scontrol --oneliner show partition "$(field "$record" Partition)")" GraceTime)
  (($(date -d "$ended" +%s) < $(date -d "$preempted" +%s) + ${grace:-0}))
}

# Bring this task back, once: requeue it, or resubmit it where SLURM refuses (JobRequeue=0 and the like). Retried while
# the controller does not answer, which a restart of it explains. Between a refusal and a resubmission the record is read
# again, so that a requeue whose answer was lost is not followed by a second job for the same run. A task that comes back
# has not ended: what the script does at its exit, to note down how it ended, is called off.
come_back() {
  local me record restarts answer refusal='' pause
  me=$(job_name_for_slurm)
  if ! command -v scontrol >/dev/null; then
    report "there is no scontrol on ${HOSTNAME-this node}, so $me cannot be requeued from here: start the run again by hand"
    return 1
  fi
  for pause in 0 1 2 4 8 16 32 64 64 64; do
    sleep "$pause"
    if ! record=$(undisturbed scontrol --oneliner show job "$me" 2>&1) || ! restarts=$(field "$record" Restarts); then
      report "no answer from SLURM: $record"
    elif ((restarts > ${SLURM_RESTART_COUNT:-0})); then
      report "SLURM has requeued $me"
      trap - EXIT
      return 0
    elif was_cancelled "$record"; then
      report "$me was cancelled and is not requeued"
      return 0
    elif [[ -n $refusal ]]; then
      report "SLURM refuses to requeue $me ($refusal); submitting it anew"
      if answer=$(resubmit 2>&1); then
        report "submitted $answer in its place"
        trap - EXIT
        return 0
      fi
      report "sbatch failed: $answer"
    elif answer=$(undisturbed scontrol requeue "$me" 2>&1); then
      report "requeued $me"
      trap - EXIT
      return 0
    elif [[ -n $answer && $answer != *[Cc]ontact* && $answer != *"imed out"* ]]; then
      refusal=$answer
    else
      report "no answer from SLURM: $answer"
    fi
  done
  report "could not bring $me back"
  return 1
}

# SLURM gives the batch script itself SIGTERM when it ends the job, and kills everything KillWait seconds later. The
# requeue is requested at once, because a save may take longer than that.
on_term() {
  if [[ -z $came_back ]] && come_back; then came_back=yes; fi
}

run_and_requeue() {
  local code returned payload signal
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
  returned=$?
  # Ignored and not trapped: the SIGTERM that ends a job would end the subshells below, and with them their answers.
  trap '' TERM
  code=$(code_that_counts "$returned")
  signal=$(signal_of "$code")
  if [[ -n $signal ]]; then report "the run was ended by signal $((code - KILLED))"; fi
  if note_deaths "$returned" && [[ -z $signal ]]; then
    report "a worker died in the middle of a run; the exit code of srun is $returned"
    code=$REQUEUE_ME
  fi
  if [[ $code == "$REQUEUE_ME" || -n $signal ]]; then
    if [[ -z $came_back ]]; then come_back; fi
  elif ((code != 0 && code != KILLED_BY_INT)); then
    failed
  fi
  return "$code"
}
