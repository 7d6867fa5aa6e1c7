#!/bin/sh
# Make a virtual environment, with Debian's packages for it where they are missing and we may install them.
set -eu
python=$1 venv=$2
if [ -x "$venv/bin/pip" ]; then exit 0; fi
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    echo "Installing Debian's python3-venv ..."
    if [ "$(id -u)" = 0 ]; then sudo=""; else sudo=sudo; fi
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
fi
"$python" -m venv "$venv"
