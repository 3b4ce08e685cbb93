# Has the worker ended in the middle of a run, as by os._exit or exit in a library? Its record has a line for each
# process that starts, for each run that begins, and for each that has ended, with its exit code.
crashed() {
  local line running=0
  while read -r line; do
    case $line in
      *'"pid"'* | *'"died"'*) running=0 ;;
      *'"exit_code"'*) running=$((running - 1)) ;;
      *'"run"'*) running=$((running + 1)) ;;
    esac
  done <"$RECORD"
  ((running > 0))
} 2>/dev/null
