#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# renew-constraints.sh: pins the newest versions that satisfy pyproject.toml, as installed into a
# fresh environment of the oldest supported Python, so that every Python is tested with the same:
# PYTHON=python3.9.  atheris, for `make fuzz`, is not built for that one; its pin is kept.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
pins=$here/packaging/constraints.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

"$here/packaging/make-venv.sh" "$work/venv"
"$work/venv/bin/python" -m pip --quiet --disable-pip-version-check install -e "$here[dev]"
sed -n '/^#/p' "$pins" >"$work/pins"
{
    sed -n '/^atheris==/p' "$pins"
    "$work/venv/bin/python" -m pip --disable-pip-version-check freeze --exclude-editable \
        --exclude pip --exclude setuptools | sed '/^#/d; /^-e/d'
} | LC_ALL=C sort -f >>"$work/pins"
cat "$work/pins" >"$pins"
