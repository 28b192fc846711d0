#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# make-onefile.sh DIST [RELEASE...]: DIST/balloon-agent.pyz, the whole program with its libraries in
# one file.  Inside is code compiled for the Python that runs this, or, with names of Debian
# releases, for theirs: fresh roots, made by mmdebstrap, compile it.  Any other Python from 3.9 on
# compiles the sources inside.  The same commit and the same Pythons give the same bytes.
set -eu

into=${1:?usage: make-onefile.sh DIST [RELEASE...]}
shift
here=$(cd "$(dirname "$0")/.." && pwd)
python=${BUILD_PYTHON:-python3}
work=$(mktemp -d)
chmod 755 "$work"  # mmdebstrap may be somebody else, in its namespace
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
say() { echo "onefile: $*" >&2; }
build() { PYTHONHASHSEED=0 "$python" "$here/packaging/onefile/build.py" "$@"; }

[ $# -eq 0 ] || "$here/packaging/want.sh" onefile mmdebstrap mmdebstrap
say "the libraries, at their pinned versions"
modules=$work/modules
install="-m pip --quiet --disable-pip-version-check install --no-deps --no-compile --target $modules"
"$python" $install --constraint "$here/packaging/constraints.txt" \
    click prometheus_client pyxs rich tomli
"$python" $install --no-build-isolation "$here"
# Nothing compiled: where a wheel has compiled modules, it has their sources beside them. What of
# rich draws with pygments and markdown-it, which the program does not use, goes with those.
find "$modules" \( -name '*.so' -o -name __pycache__ -o -name py.typed \) -prune -exec rm -rf {} +
rm -rf "$modules/bin" "$modules"/rich/markdown.py "$modules"/rich/syntax.py \
    "$modules"/rich/traceback.py "$modules"/prometheus_client/twisted
# Of what pip notes down, versions and licences; the rest differs from machine to machine.
find "$modules" -path '*.dist-info/*' -type f ! -name METADATA ! -path '*/licenses/*' -delete
cp "$here/packaging/onefile/front.py" "$modules/__main__.py"
cp "$here/packaging/onefile/build.py" "$work"  # mmdebstrap's hooks take words apart at spaces

mkdir -p "$into" "$work/code"
if [ $# -eq 0 ]; then
    say "compiled for $("$python" --version)"
    build compile "$modules" "$work/code/this"
fi
for release in "$@"; do
    say "compiled for the Python of Debian $release"
    tar -C "$work" -cf "$work/modules.tar" modules
    # A release may be looked at after its index has run out, and then has not changed.
    mmdebstrap --variant=apt --format=null --quiet --include=python3-minimal,libpython3-stdlib \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --customize-hook="tar-in $work/modules.tar /" \
        --customize-hook="copy-in $work/build.py /" \
        --customize-hook='chroot "$1" env PYTHONHASHSEED=0 python3 /build.py compile /modules /code' \
        --customize-hook="download /code $work/code/$release" \
        "$release" /dev/null
done
build join "$modules" "$into/balloon-agent.pyz" "$work"/code/*
say "$(wc -c <"$into/balloon-agent.pyz") bytes: $into/balloon-agent.pyz"
