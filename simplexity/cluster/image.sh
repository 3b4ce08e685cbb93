# What a host can check of an image before it runs anything in it, for bash. containers/run.sh and slurm/sweep.sh read this
# file; the launcher reads it, and its batch scripts carry the text, so that a node looks again. Nothing here runs the image.
#
# RUNTIME is apptainer, singularity, docker or podman. A mistake is reported in one line and ends the script, by `die`, which
# whoever uses the functions defines.

# Whether images of RUNTIME are files or folders; those of the others have a name in a store.
has_files() { [[ $1 == apptainer || $1 == singularity ]]; }

check_architecture() { # IMAGE NAME, in the words of uname or of Go
  local here name=$2
  here=$(uname -m)
  case $name in amd64) name=x86_64 ;; arm64) name=aarch64 ;; esac
  [[ $name == "$here" ]] || die "$1 is for $name, and this machine is $here; build the image on a machine of the same kind"
}

# The header of a SIF file, 128 bytes: a launch script (32), SIF_MAGIC (10), version (3), architecture (3), then ids,
# times and the table of contents, and at last the place and the size of the data.
check_sif() { # IMAGE
  local data_start data_size
  [[ $(dd if="$1" bs=1 skip=32 count=9 2>/dev/null | tr -d '\0') == SIF_MAGIC ]] ||
    die "$1 is not an Apptainer image (SIF)"
  case $(dd if="$1" bs=1 skip=45 count=2 2>/dev/null | tr -d '\0') in
    02) check_architecture "$1" x86_64 ;;
    04) check_architecture "$1" aarch64 ;;
    *) check_architecture "$1" "an architecture that simplexity is not built for" ;;
  esac
  read -r data_start data_size < <(od -An -t d8 -j 112 -N 16 "$1") || true
  [[ -n ${data_size-} ]] && (($(stat -L -c %s "$1") >= data_start + data_size)) ||
    die "$1 is shorter than it says: is the copy whole?"
}

check_image() { # RUNTIME IMAGE
  local architecture
  if ! has_files "$1"; then
    command -v "$1" >/dev/null || return 0 # often only nodes have it, and they look again
    architecture=$("$1" image inspect --format '{{.Architecture}}' "$2" 2>/dev/null) ||
      die "$1 has no image $2 on ${HOSTNAME-this host}; containers/build.sh makes one"
    check_architecture "$2" "$architecture"
  elif [[ -d $2 ]]; then
    [[ -d $2/.singularity.d ]] || die "$2 is a folder and not an image"
  elif [[ -f $2 ]]; then
    [[ -r $2 ]] || die "$2 cannot be read"
    check_sif "$2"
  else
    die "there is no image $2 on ${HOSTNAME-this host}; containers/build.sh makes one"
  fi
}

# A label of the image, empty if it has none. A SIF file holds its labels as text between its header and its data.
image_label() { # RUNTIME IMAGE NAME
  local text name=org.opencontainers.image.$3
  if has_files "$1"; then
    if [[ -d $2 ]]; then text=$2/.singularity.d/labels.json; else text=$2; fi
    { head -c 65536 "$text" | tr -d '\0' | grep -ao "\"$name\": *\"[^\"]*\"" || true; } | sed -n '1s/.*"\(.*\)"$/\1/p'
  else
    "$1" image inspect --format "{{index .Config.Labels \"$name\"}}" "$2" 2>/dev/null || true
  fi
}

# A name for just this image, which a copy of it keeps. Of a SIF file: its size, its beginning, with an id that every
# build draws anew, and its end, with the compressed size of every block; all of its gigabytes take too long at the
# start of every task. Empty where it cannot be known.
image_digest() { # RUNTIME IMAGE
  if ! has_files "$1"; then
    "$1" image inspect --format '{{.Id}}' "$2" 2>/dev/null || true
  elif [[ -d $2 ]]; then
    sha256sum <"$2/.singularity.d/labels.json" | sed 's/^\([0-9a-f]*\).*/sha256:\1/'
  else
    { stat -L -c %s "$2" && head -c 65536 "$2" && tail -c 1048576 "$2"; } | sha256sum | sed 's/^\([0-9a-f]*\).*/sha256:\1/'
  fi
}

check_bind() { # SOURCE[:TARGET[:OPTIONS]]
  [[ -e ${1%%:*} ]] || die "\`binds\`: ${1%%:*} does not exist on ${HOSTNAME-this host}; create it or correct the path"
}

# Where Apptainer cannot mount a SIF file it unpacks the image at every start, to about four times its size.
check_sandbox_space() { # RUNTIME IMAGE
  local folder=${APPTAINER_TMPDIR:-${SINGULARITY_TMPDIR:-${TMPDIR:-/tmp}}} libexec free needed
  [[ -f $2 ]] && has_files "$1" || return 0
  libexec=$("$1" buildcfg LIBEXECDIR 2>/dev/null)/$1/bin
  [[ ! -u $libexec/starter-suid ]] || return 0
  if [[ -w /dev/fuse ]] && { [[ -x $libexec/squashfuse_ll ]] || command -v squashfuse_ll squashfuse >/dev/null; }; then
    return 0
  fi
  free=$(df --output=avail --block-size=1M "$folder" 2>/dev/null | tail -n 1) || free=
  [[ -n $free ]] || die "\`APPTAINER_TMPDIR\`: there is no folder $folder on ${HOSTNAME-this host}"
  needed=$((4 * $(du -L -m "$2" | cut -f 1)))
  ((free >= needed)) ||
    die "$1 must unpack $2 here, and $folder has $((free)) MB free of about $needed MB; set APPTAINER_TMPDIR to a larger disk"
}

# Some clusters (proctrack/linuxproc) signal every process of a step and not only its first. At a preemption that would end
# the program that mounts a SIF file too, and with it, by a bus error, what runs in the container. So Apptainer is made to
# find that program through a script that has it ignore those signals.
# The folder comes first in PATH: whoever may write it could have this user execute anything.
shield_mount() { # FOLDER, on a disk that all nodes of the job see
  local name found
  mkdir -p "${1%/*}" && { [[ -d $1 ]] || mkdir -m 700 "$1"; } || return 0
  [[ -O $1 ]] && ((!(0$(stat -L -c %a "$1") & 022))) ||
    die "others may write $1, whose programs a job executes: remove it, or set SIMPLEXITY_CACHE to a folder of your own"
  for name in squashfuse_ll squashfuse; do
    found=$(type -P "$name") || continue
    [[ $found != "$1/$name" ]] || continue
    printf '#!/bin/sh\ntrap "" USR1 USR2 TERM\nexec %q "$@"\n' "$found" >"$1/$name.$$" && chmod 755 "$1/$name.$$" || return 0
    mv -f "$1/$name.$$" "$1/$name"
  done
  PATH=$1:$PATH
}

# For the launcher, before it submits: prints the image's digest and version.
inspect_container() { # RUNTIME IMAGE BIND...
  local bind
  check_image "$1" "$2"
  for bind in "${@:3}"; do check_bind "$bind"; done
  echo "$(image_digest "$1" "$2") $(image_label "$1" "$2" version)"
}

# For a batch script, on the node. Without a digest any image will do.
require_container() { # RUNTIME IMAGE DIGEST BIND...
  local bind
  command -v "$1" >/dev/null || die "$1 is not installed on ${HOSTNAME-this host}: is a line of \`cluster.setup\` missing?"
  check_image "$1" "$2"
  [[ -z $3 || $(image_digest "$1" "$2") == "$3" ]] ||
    die "$2 is not the image that this sweep was submitted with; put that back, or take this: simplexity retry --changed-image"
  for bind in "${@:4}"; do check_bind "$bind"; done
  check_sandbox_space "$1" "$2"
}
