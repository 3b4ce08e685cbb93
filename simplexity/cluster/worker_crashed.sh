# Lines that were in the worker's record before this start.
earlier=()
{ mapfile -t earlier <"$RECORD"; } 2>/dev/null

# Has the worker ended in the middle of a run, as by os._exit or exit in a library? Its record has a line for each
# process that starts, for each run that begins, and for each that has ended, with its exit code. Only the lines of this
# start count: a worker that could not even begin its record would fail in the same way after a requeue, without end.
crashed() {
  local line lines=() running=0
  mapfile -t -s "${#earlier[@]}" lines <"$RECORD"
  for line in "${lines[@]}"; do
    case $line in
      *'"pid"'*) running=0 ;;
      *'"exit_code"'*) running=$((running - 1)) ;;
      *'"run"'*) running=$((running + 1)) ;;
    esac
  done
  ((running > 0))
} 2>/dev/null
