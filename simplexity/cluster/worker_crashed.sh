# How many lines each worker's record had before this start.
earlier=()
for record in "${RECORDS[@]}"; do earlier+=("$(grep -c '' "$record" 2>/dev/null)"); done

# The workers that have ended in the middle of a run, as by os._exit or exit in a library: their records. A record has a
# line for each process that starts, for each run that begins, and for each that has ended, with its exit code. Only the
# lines of this start count: a worker that could not even begin its record would fail in the same way after a requeue,
# without end.
records_of_crashed() {
  local i line lines running
  for i in "${!RECORDS[@]}"; do
    lines=() running=0
    mapfile -t -s "${earlier[i]:-0}" lines <"${RECORDS[i]}"
    for line in "${lines[@]}"; do
      case $line in
        *'"pid"'*) running=0 ;;
        *'"exit_code"'*) running=$((running - 1)) ;;
        *'"run"'*) running=$((running + 1)) ;;
      esac
    done
    ((running < 1)) || echo "${RECORDS[i]}"
  done
} 2>/dev/null

crashed() { [[ -n $(records_of_crashed) ]]; }

# The worker reads it when it comes back: what killed it, in words for the run that it had.
died() {
  local record
  records_of_crashed | while read -r record; do
    echo "{\"died\":\"its process $1\"}" >>"$record"
  done
}
