#!/usr/bin/env bash
# Builds this checkout's image.
#
#   containers/build.sh [apptainer|docker|podman|buildah] [cpu|cuda12|cuda13] [NAME=VALUE]...
#
# Without a tool the first installed one is taken; without an accelerator, cuda12. NAME=VALUE is
#   output=FILE or NAME    what is made: simplexity-cuda12.sif, or the image simplexity:VERSION-cuda12
#   base_image, bootstrap  where the base comes from (a folder: bootstrap=localimage base_image=FOLDER)
#   index_url              a mirror of the Python package index
set -euo pipefail

die() {
    echo "build.sh: $*" >&2
    exit 2
}

tools="apptainer docker podman buildah"
tool='' accelerator='' output=''
declare -A build_arguments=()
for argument; do
    case $argument in
        apptainer | docker | podman | buildah) tool=$argument ;;
        cpu | cuda12 | cuda13) accelerator=$argument ;;
        output=?*) output=${argument#*=} ;;
        base_image=?* | bootstrap=?* | index_url=*) build_arguments[${argument%%=*}]=${argument#*=} ;;
        -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" && exit ;;
        *) die "\`$argument\` is none of $tools, cpu, cuda12, cuda13, output=, base_image=, bootstrap=, index_url=" ;;
    esac
done

if [[ -z $tool ]]; then
    for tool in $tools none; do ! command -v "$tool" >/dev/null || break; done
    [[ $tool != none ]] || die "none of $tools is installed"
fi
command -v "$tool" >/dev/null || die "\`$tool\` is not installed; of $tools choose one that is"
accelerator=${accelerator:-cuda12}

started_in=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for needed in constraints.txt constraints-newest.txt simplexity/__init__.py hydra_plugins; do
    [[ -e $needed ]] || die "$PWD/$needed is missing; build from a whole checkout"
done
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' simplexity/__init__.py)
# Not `describe --dirty`, which would take the tag of a repository that has one.
commit=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
[[ $commit == unknown || -z $(git status --porcelain 2>/dev/null) ]] || commit+=-dirty
build_arguments+=([accelerator]=$accelerator [version]=$version [commit]=$commit)
options=()
for name in "${!build_arguments[@]}"; do options+=(--build-arg "$name=${build_arguments[$name]}"); done

need_space() { # FOLDER MEGABYTES VARIABLE
    local free
    free=$(df --output=avail --block-size=1M "$1" 2>/dev/null | tail -n 1) || die "the folder $1 does not exist"
    ((free >= $2)) || die "$1 has $((free)) MB free, and the build needs about $2 there; set $3 to a larger disk"
}

seconds=$SECONDS
if [[ $tool == apptainer ]]; then
    output=${output:-$PWD/simplexity-$accelerator.sif}
    [[ $output == /* ]] || output=$started_in/$output
    [[ -d $(dirname "$output") && -w $(dirname "$output") ]] || die "cannot write \`output\` into $(dirname "$output")"
    # The sandbox in which it builds, and the packed image: measured for cpu; the CUDA wheels unpack to 5 GB more.
    need_space "${APPTAINER_TMPDIR:-${TMPDIR:-/tmp}}" "$([[ $accelerator == cpu ]] && echo 2000 || echo 9000)" APPTAINER_TMPDIR
    need_space "$(dirname "$output")" "$([[ $accelerator == cpu ]] && echo 500 || echo 4000)" output
    # Beside its place and then renamed: jobs that run the old image keep it. `--force` also puts our labels before
    # those of the base.
    part=$output.$$.part
    trap 'rm -f "$part"' EXIT
    apptainer build --force "${options[@]}" "$part" Apptainer.def || die "apptainer build failed, see above"
    mv "$part" "$output"
    size=$(du -m "$output" | cut -f 1)
else
    output=${output:-simplexity:$version-$accelerator}
    "$tool" build "${options[@]}" --file containers/Dockerfile --tag "$output" . || die "$tool build failed, see above"
    case $tool in
        buildah) size= ;;
        *) size=$(($("$tool" image inspect --format '{{.Size}}' "$output") / 1000000)) ;;
    esac
fi
echo "$output: simplexity $version, $accelerator, commit $commit${size:+, $size MB}, built in $((SECONDS - seconds)) s"
