#!/bin/sh
# Make a virtual environment, with Debian's packages for it where they are missing and we may install them.
# venv.sh PYTHON DIRECTORY
set -eu
python=$1 venv=$2

fail() {
    echo "$*" >&2
    exit 1
}

check_version() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Roombridge needs Python 3.11 or later; $python is $("$python" -V 2>&1)." \
            "Name another: make run PYTHON=python3.11"
}

if "$venv/bin/pip" --version >/dev/null 2>&1; then exit 0; fi
if [ "$python" != python3 ] && ! command -v "$python" >/dev/null; then fail "There is no Python interpreter $python."; fi
if command -v "$python" >/dev/null; then check_version; fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    command -v apt-get >/dev/null || fail "Roombridge needs Python 3.11 or later with its venv module. Install it first."
    sudo=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "Please install python3-venv first, as root: apt install python3-venv"
        sudo=sudo
    fi
    echo "Installing Debian's python3-venv ..."
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
fi
check_version
echo "Making the virtual environment $venv ..."
rm -rf "$venv"
"$python" -m venv "$venv"
