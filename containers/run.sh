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

check_version() { # VERSION COMMIT, of the image
    local file=$checkout/simplexity/__init__.py version commit
    [[ -f $file ]] || return 0
    [[ -n $1 && $1 != unknown ]] || die "$image does not say its version: it is no image made by containers/build.sh"
    version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$file")
    [[ $1 == "$version" ]] || die "$image has simplexity $1 and this checkout is $version; build the image again or check out $1"
    commit=$(git -C "$checkout" rev-parse --short=12 HEAD 2>/dev/null) || return 0
    [[ $2 == "$commit" ]] || echo "run.sh: note: $image was built from commit $2, this checkout is at $commit" >&2
}

check_architecture() { # NAME in the words of uname or of Go
    local here
    here=$(uname -m)
    case $1 in amd64) set -- x86_64 ;; arm64) set -- aarch64 ;; esac
    [[ $1 == "$here" ]] || die "$image is for $1 and this machine is $here; build it on such a machine"
}

has_gpu() { compgen -G '/dev/nvidia[0-9]*' >/dev/null || [[ -e /dev/dxg ]]; }

# SIF: a launch line of 32 bytes, the magic word of 10, a version of 3, then the code of the architecture in 3; from byte
# 112 on where the data begin and how long they are.
check_sif() {
    local data_start data_size
    [[ $(dd if="$image" bs=1 skip=32 count=9 2>/dev/null | tr -d '\0') == SIF_MAGIC ]] ||
        die "$image is not an Apptainer image (SIF)"
    case $(dd if="$image" bs=1 skip=45 count=2 2>/dev/null | tr -d '\0') in
        02) check_architecture x86_64 ;;
        04) check_architecture aarch64 ;;
        *) check_architecture "an architecture that simplexity is not built for" ;;
    esac
    read -r data_start data_size < <(od -An -t d8 -j 112 -N 16 "$image") || true
    [[ -n ${data_size-} ]] && (($(stat -L -c %s "$image") >= data_start + data_size)) ||
        die "$image is shorter than it says: is the copy whole?"
}

# Without a mount of SIF files Apptainer unpacks the image for every start, to about four times its size.
check_sandbox_space() {
    local folder=${APPTAINER_TMPDIR:-${TMPDIR:-/tmp}} free needed
    [[ ! -w /dev/fuse ]] || ! command -v squashfuse_ll squashfuse >/dev/null || return 0
    [[ ! -u $("$runtime" buildcfg LIBEXECDIR)/$runtime/bin/starter-suid ]] || return 0
    free=$(df --output=avail --block-size=1M "$folder" | tail -n 1) || die "APPTAINER_TMPDIR: no folder $folder"
    needed=$((4 * $(du -m "$image" | cut -f 1)))
    ((free >= needed)) ||
        die "$runtime must unpack $image here and $folder has $((free)) MB free of about $needed MB; set APPTAINER_TMPDIR"
}

run_apptainer() {
    local labels label_version label_commit options=() bind
    runtime=$(command -v apptainer || command -v singularity) || die "$image is for Apptainer, which is not installed here"
    runtime=$(basename "$runtime")
    if [[ -f $image ]]; then check_sif && check_sandbox_space; fi
    labels=$("$runtime" inspect --labels "$image" 2>/dev/null) || die "$image cannot be read by $runtime: is the copy whole?"
    label_version=$(sed -n 's/^org.opencontainers.image.version: //p' <<<"$labels")
    label_commit=$(sed -n 's/^org.opencontainers.image.revision: //p' <<<"$labels")
    check_version "$label_version" "$label_commit"
    for bind in "${binds[@]}"; do options+=(--bind "$bind"); done
    ! has_gpu || options+=(--nv)
    # Not --cleanenv nor --containall: they drop SLURM_*. `exec`: signals go to the runtime, which hands them on.
    exec "$runtime" run "${options[@]}" --pwd "$PWD" "$image" "$@"
}

run_oci() {
    local tool details options=(--rm --init --interactive) bind name
    for tool in podman docker none; do
        if [[ $tool == none ]] || "$tool" image inspect "$image" >/dev/null 2>&1; then break; fi
    done
    [[ $tool != none ]] || die "there is no file $image, and neither podman nor docker has an image of that name; see containers/build.sh"
    details=$("$tool" image inspect --format \
        '{{.Architecture}} {{index .Config.Labels "org.opencontainers.image.version"}} {{index .Config.Labels "org.opencontainers.image.revision"}}' "$image")
    read -r architecture label_version label_commit <<<"$details"
    check_architecture "$architecture"
    check_version "$label_version" "${label_commit:-unknown}"
    for bind in "${binds[@]}"; do options+=(--volume "$bind"); done
    [[ ! -t 0 || ! -t 1 ]] || options+=(--tty)
    while read -r name; do options+=(--env "$name"); done \
        < <(compgen -e | grep -E '^(SLURM|SIMPLEXITY|JAX|XLA|HYDRA|MLFLOW)_|^(CUDA_VISIBLE_DEVICES|USER)$')
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
if [[ -f $image || -d $image/.singularity.d ]]; then
    run_apptainer "$@"
elif [[ -d $image ]]; then
    die "$image is a folder and not an image"
elif [[ $image == *.sif || $image == /* || $image == .* ]]; then
    die "there is no image $image on $(hostname); containers/build.sh makes one"
else
    run_oci "$@"
fi
