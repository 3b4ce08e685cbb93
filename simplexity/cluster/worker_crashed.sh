# How many lines each worker's record had before this start.
earlier=()
for record in "${RECORDS[@]}"; do
  earlier+=("$(grep -c '' "$record" 2>/dev/null)")
  rm -f "${record%.jsonl}.exit"
done
printed_earlier=$(grep -c '' "$LOG.log" 2>/dev/null)

# Whether this start has used up the memory that SLURM gives the job. Of a process that SLURM's limit has killed, srun
# returns no signal but 1, and its message is all that there is.
is_out_of_memory() {
  sed -n "$((${printed_earlier:-0} + 1)),\$p" "$LOG.log" | grep -q '^srun: error: .*: Out Of Memory$'
} 2>/dev/null

# The exit code of a worker, where it has left one because it shares the job with others, or that of srun.
exit_code_of_worker() { # RECORD CODE_OF_SRUN
  local code=''
  { read -r code <"${1%.jsonl}.exit"; } 2>/dev/null
  echo "${code:-$2}"
}

# One worker that is to come back brings its array task back, whatever the others' exit codes: first a signal, then 85.
code_that_counts() { # CODE_OF_SRUN
  local record code counts=$1
  for record in "${RECORDS[@]}"; do
    code=$(exit_code_of_worker "$record" "$1")
    if [[ -n $(signal_of "$code") ]]; then
      counts=$code
      break
    elif ((code == REQUEUE_ME)); then
      counts=$code
    fi
  done
  echo "$counts"
}

# Whether a worker has ended in the middle of a run. A record has a line for each process that starts, for each run that
# begins, and for each that has ended, with its exit code. Only the lines of this start count: a worker that could not
# even begin its record would fail in the same way after a requeue, without end.
is_in_a_run() { # NUMBER of the record
  local line lines=() running=0
  mapfile -t -s "${earlier[$1]:-0}" lines <"${RECORDS[$1]}"
  for line in "${lines[@]}"; do
    case $line in
      *'"pid"'*) running=0 ;;
      *'"exit_code"'*) running=$((running - 1)) ;;
      *'"run"'*) running=$((running + 1)) ;;
    esac
  done
  ((running > 0))
} 2>/dev/null

# The workers that have died in the middle of a run, as by a signal, or by os._exit or exit in a library. One that exits
# with 85 there has given its run to another process. Each reads what killed it when it comes back, in words for its run.
note_deaths() { # CODE_OF_SRUN
  local i code signal how memory any=1
  if is_out_of_memory; then memory='ran out of memory'; fi
  for i in "${!RECORDS[@]}"; do
    code=$(exit_code_of_worker "${RECORDS[i]}" "$1")
    if ((code == REQUEUE_ME || code == KILLED_BY_INT)) || ! is_in_a_run "$i"; then continue; fi
    signal=$(signal_of "$code")
    how=${signal:+was killed by SIG$signal}
    echo "{\"died\":\"its process ${memory:-${how:-exited with code $code}}\"}" >>"${RECORDS[i]}"
    any=0
  done
  return "$any"
}
