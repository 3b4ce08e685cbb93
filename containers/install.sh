#!/bin/sh
# What an image holds beyond its base: one recipe for Apptainer.def and containers/Dockerfile, which run it as root.
#
#   install.sh cpu|cuda12|cuda13 [INDEX_URL]
#
# Run it in the folder of the sources. All lands in /usr/local/simplexity, readable by every user and written by none.
#
# Apptainer binds folders of the host into a build: /tmp and /var/tmp always, others by the site's choice. So nothing is
# cleaned afterwards by a pattern: what is temporary is made in the folder of the sources, which the caller removes.
set -eu
umask 022
accelerator=$1 index_url=${2:-}
prefix=/usr/local/simplexity

case $accelerator in
    cpu) extras=mlflow,tensorboard,wandb ;;
    cuda12 | cuda13) extras=mlflow,tensorboard,wandb,$accelerator ;; # the wheels bring CUDA with them: of the host only the driver is needed
    *) echo "install.sh: \`accelerator\` is cpu, cuda12 or cuda13, not '$accelerator'" >&2 && exit 2 ;;
esac
if [ -e "$prefix" ]; then
    echo "install.sh: $prefix exists already; this is for an image under construction, with a base without simplexity" >&2
    exit 2
fi

if ! python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    # In a user namespace apt cannot become its own user to download.
    apt-get -o APT::Sandbox::User=root update -qq
    apt-get -o APT::Sandbox::User=root install -y -qq --no-install-recommends ca-certificates python3 python3-venv
    apt-get clean
    rm -rf /var/lib/apt/lists/*
fi

# The newest versions that CI tests need Python 3.12; a base with an older one gets the oldest.
constraints=constraints-newest.txt
python3 -c 'import sys; sys.exit(sys.version_info < (3, 12))' || constraints=constraints.txt

# A mirror asked for is the only source; otherwise pip's own configuration in the base decides.
[ -z "$index_url" ] || export PIP_INDEX_URL="$index_url"
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
mkdir build-tmp
export TMPDIR="$PWD/build-tmp"
python3 -m venv "$prefix"
"$prefix/bin/python" -m pip install --quiet --use-pep517 --constraint "$constraints" ".[$extras]"
install -m 755 containers/entrypoint "$prefix/entrypoint"
# A missing library shows here and not on a compute node.
cd / && "$prefix/bin/python" -P -c 'import jax, simplexity'
