#!/usr/bin/env bash
# A sweep from a host that has nothing but bash, SLURM's client and Apptainer. In the folder of the study:
#
#   slurm/sweep.sh [run_experiment|train_model] seed=0,1,2,3 cluster=gpu     what --multirun hydra/launcher=slurm takes
#   slurm/sweep.sh status|results|retry|cancel|... SWEEP_DIR                what `simplexity` takes
#
# The runs are composed, checked and frozen in the image, and every array task runs in it; the host submits. The image
# is $SIMPLEXITY_IMAGE, or else the first of simplexity-cuda12.sif, simplexity-cuda13.sif and simplexity-cpu.sif in the
# checkout; `cluster.container` names another for the tasks.
set -euo pipefail

die() {
  echo "sweep.sh: $*" >&2
  exit 2
}

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$checkout/simplexity/cluster/image.sh"

case ${1-} in
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" && exit ;;
  run_experiment | train_model) set -- "$1" --multirun hydra/launcher=slurm "${@:2}" ;;
  '' | *=* | [-~]*) set -- run_experiment --multirun hydra/launcher=slurm "$@" ;;
  *) set -- simplexity "$@" ;;
esac

image=${SIMPLEXITY_IMAGE-}
for file in "$checkout"/simplexity-{cuda12,cuda13,cpu}.sif; do
  if [[ -z $image && -f $file ]]; then image=$file; fi
done
[[ -n $image ]] || die "which image? containers/build.sh makes one in $checkout; or set SIMPLEXITY_IMAGE=FILE"
[[ $image == /* ]] || image=$PWD/$image

# What the image may ask the host to do: see simplexity/cluster/_host_programs.py.
host=$(mktemp -d)
for name in sbatch squeue sinfo sacct sacctmgr scancel scontrol inspect_container; do
  ! command -v "$name" >/dev/null || echo "$name"
done >"$host/programs"
mkfifo "$host/request" "$host/answer" "$host/silent"

execute() (
  die() { echo "$*" >&2 && exit 2; }
  # A job's own variables are options to an sbatch in it; those that name the cluster stay.
  for name in "${!SLURM_@}" "${!SBATCH_@}" "${!SQUEUE_@}" "${!SACCT_@}" "${!SCANCEL_@}"; do
    [[ $name == SLURM_CONF || $name == SLURM_JWT ]] || unset "$name"
  done
  case ${1-} in
    inspect_container) "$@" ;;
    sbatch | squeue | sinfo | sacct | sacctmgr | scancel | scontrol) exec timeout --kill-after=5 60 "$@" ;;
    *) exit 127 ;;
  esac
)

# Until the program that this script becomes has ended. Ctrl-C is for that program: a submission is never cut short.
serve() {
  local header count word words
  trap '' INT
  # Nothing is ever written to `silent`: to read from it is a pause that needs no program.
  exec {request}<>"$host/request" {answer}<>"$host/answer" {silent}<>"$host/silent"
  while kill -0 $$ 2>/dev/null; do
    # -t 0 only looks whether there is a request: a `read` whose time is up would lose what it has read of one.
    if ! read -r -t 0 -u "$request"; then
      read -r -t 0.1 -u "$silent" || continue
    fi
    # Whoever asks writes all of it at once; one that is killed meanwhile must not be waited for without end.
    IFS= read -r -d '' -t 60 -u "$request" header && count=${header%% *} && [[ $count == +([0-9]) ]] || continue
    words=()
    while ((${#words[@]} < count)) && IFS= read -r -d '' -t 60 -u "$request" word; do words+=("$word"); done
    # A request that was cut off, or that the next one has completed with its own words, is another command.
    ((${#words[@]} == count)) && IFS= read -r -d '' -t 60 -u "$request" word && [[ $word == "$header" ]] || continue
    if execute "${words[@]}" >"$host/stdout" 2>"$host/stderr" </dev/null; then echo 0; else echo $?; fi >&"$answer"
  done
  rm -rf "$host"
}
serve </dev/null >/dev/null 2>&1 &

export SIMPLEXITY_IMAGE=$image SIMPLEXITY_HOST=$host
exec "$checkout/containers/run.sh" --bind "$host" "$image" "$@"
