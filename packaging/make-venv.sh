#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# make-venv.sh DIRECTORY: a virtual environment in DIRECTORY, also where Debian's python3 comes
# without ensurepip but pip is there.
set -eu

directory=${1:?usage: make-venv.sh DIRECTORY}
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
    echo "balloon-agent needs Python 3.9 or later; $python is $("$python" --version 2>&1)." \
        "Set PYTHON=python3.x to use another." >&2
    exit 1
fi
[ -x "$directory/bin/python" ] && "$directory/bin/python" -m pip --version >/dev/null 2>&1 && exit 0
rm -rf "$directory"
if "$python" -c 'import ensurepip' 2>/dev/null; then
    "$python" -m venv "$directory"
elif "$python" -m pip --version >/dev/null 2>&1; then
    "$python" -m venv --without-pip "$directory"
    "$python" -m pip --quiet --python "$directory/bin/python" install pip
else
    echo "Neither ensurepip nor pip is there; install one (Debian: apt install python3-venv)." >&2
    exit 1
fi
