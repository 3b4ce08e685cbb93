#!/usr/bin/env bash
# Runs an image of simplexity as yourself, with the GPU if there is one.
#
#   containers/run.sh [--bind PATH[:PATH[:ro]]]... IMAGE [OVERRIDES | train_model ... | simplexity ... | python ... | shell]
#
# IMAGE is a SIF file or a sandbox folder (Apptainer), or the name of an image that podman or docker has.
# Seen inside under their own paths: the current folder (outputs/, multirun/, configs/), the folder of an absolute
# hydra.run.dir or hydra.sweep.dir, and the compilation cache: $SIMPLEXITY_CACHE or ~/.cache/simplexity.
set -euo pipefail

die() {
    echo "run.sh: $*" >&2
    exit 2
}

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$checkout/simplexity/cluster/image.sh"
binds=()

add_bind() { # SOURCE[:TARGET[:ro]]
    local source=${1%%:*}
    [[ $1 != *,* ]] || die "\`--bind\` takes one path without a comma, not '$1'"
    [[ -e $source ]] || die "\`--bind\`: $source does not exist on $(hostname); create it or correct the path"
    [[ $source == /* ]] || source=$PWD/$source
    if [[ $1 == *:* ]]; then binds+=("$source:${1#*:}"); else binds+=("$source:$source"); fi
}

add_own_folder() { # PATH, made if it is missing
    [[ $1 != *[:,]* ]] || die "the folder '$1' has a colon or a comma, which no runtime can bind; choose another"
    mkdir -p "$1" 2>/dev/null || die "the folder $1 cannot be made on $(hostname)"
    binds+=("$1:$1")
}

while [[ ${1-} == -* ]]; do
    case $1 in
        --bind) add_bind "${2:?--bind needs a path}" && shift 2 ;;
        -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" && exit ;;
        *) die "unknown option \`$1\`; before IMAGE there is only --bind" ;;
    esac
done
(($#)) || die "which image? containers/run.sh IMAGE [OVERRIDES]; containers/build.sh makes one"
image=$1
shift

export SIMPLEXITY_CACHE=${SIMPLEXITY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/simplexity}
add_own_folder "$PWD"
add_own_folder "$SIMPLEXITY_CACHE"
for argument; do
    case $argument in
        hydra.run.dir=/* | hydra.sweep.dir=/*)
            folder=${argument#*=}
            [[ $folder != *\$* ]] || folder=$(dirname "${folder%%\$*}x") # what Hydra fills in is made inside
            add_own_folder "$folder"
            ;;
    esac
done

check_version() { # RUNTIME
    local version commit theirs
    theirs=$(image_label "$1" "$image" version)
    [[ -n $theirs && $theirs != unknown ]] || die "$image does not say its version: it is no image made by containers/build.sh"
    version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$checkout/simplexity/__init__.py")
    [[ $theirs == "$version" ]] ||
        die "$image has simplexity $theirs and this checkout is $version; build the image again or check out $theirs"
    commit=$(git -C "$checkout" rev-parse --short=12 HEAD 2>/dev/null) || return 0
    theirs=$(image_label "$1" "$image" revision)
    [[ $theirs == "$commit" ]] || echo "run.sh: note: $image was built from commit ${theirs:-unknown}, this checkout is at $commit" >&2
}

has_gpu() { compgen -G '/dev/nvidia[0-9]*' >/dev/null || [[ -e /dev/dxg ]]; }

run_apptainer() {
    local runtime options=() bind
    check_image apptainer "$image"
    runtime=$(command -v apptainer || command -v singularity) || die "$image is for Apptainer, which is not installed here"
    runtime=$(basename "$runtime")
    check_version "$runtime"
    check_sandbox_space "$runtime" "$image"
    [[ -z ${SLURM_JOB_ID-} ]] || shield_mount "$SIMPLEXITY_CACHE/programs"
    for bind in "${binds[@]}"; do options+=(--bind "$bind"); done
    ! has_gpu || options+=(--nv)
    # Not --cleanenv nor --containall: they drop SLURM_*. `exec`: signals go to the runtime, which hands them on.
    exec "$runtime" --quiet run "${options[@]}" --pwd "$PWD" "$image" "$@"
}

run_oci() {
    local tool options=(--rm --init --interactive) bind name
    for tool in podman docker none; do
        if [[ $tool == none ]] || "$tool" image inspect "$image" >/dev/null 2>&1; then break; fi
    done
    [[ $tool != none ]] || die "there is no file $image, and neither podman nor docker has an image of that name; see containers/build.sh"
    check_image "$tool" "$image"
    check_version "$tool"
    for bind in "${binds[@]}"; do options+=(--volume "$bind"); done
    [[ ! -t 0 || ! -t 1 ]] || options+=(--tty)
    while read -r name; do options+=(--env "$name"); done \
        < <(compgen -e | grep -E '^(SLURM|SIMPLEXITY|JAX|XLA|HYDRA|MLFLOW|WANDB)_|^(CUDA_VISIBLE_DEVICES|USER)$')
    if [[ $tool == podman ]]; then
        ((EUID == 0)) || options+=(--userns keep-id)
    fi
    options+=(--user "$(id -u):$(id -g)")
    if has_gpu && [[ $tool == docker ]]; then
        options+=(--gpus all)
    elif has_gpu && [[ -n $(compgen -G '/etc/cdi/*' || compgen -G '/var/run/cdi/*') ]]; then
        options+=(--device nvidia.com/gpu=all)
    elif has_gpu; then
        echo "run.sh: note: podman has no CDI description of the GPU here (nvidia-ctk cdi generate); it stays unused" >&2
    fi
    exec "$tool" run "${options[@]}" --workdir "$PWD" "$image" "$@"
}

case $image in
    *://*) die "fetch the image first, then run the file: apptainer pull simplexity.sif $image" ;;
esac
if [[ -f $image || -d $image || $image == *.sif || $image == /* || $image == .* ]]; then
    run_apptainer "$@"
else
    run_oci "$@"
fi
