#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# make-deb.sh DIRECTORY: Debian packages of this tree in DIRECTORY, built by Debian's own tools as
# an ordinary user.  DEB_BUILD_OPTIONS=nocheck leaves the tests out.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
into=${1:?usage: make-deb.sh DIRECTORY}

profiles=
case " ${DEB_BUILD_OPTIONS:-} " in *" nocheck "*) profiles=nocheck ;; esac
if ! command -v dpkg-buildpackage >/dev/null; then
    missing="dpkg-dev, and what the build needs"
elif ! missing=$(dpkg-checkbuilddeps -P "$profiles" "$here/packaging/debian/control" 2>&1); then
    missing=${missing##*: }
else
    missing=
fi
if [ -n "$missing" ]; then
    echo "To build the package Debian packages are missing: $missing." >&2
    echo "On Debian 12 or later, as root:" >&2
    echo "  apt-get build-dep${profiles:+ -P $profiles} $here/packaging" >&2
    exit 1
fi

mkdir -p "$into"
into=$(cd "$into" && pwd)
work=$(mktemp -d)
chmod 755 "$work"  # as root, some tests become an ordinary user
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
tree=$work/balloon-agent

# A copy of what belongs to the project; an unpacked source archive has no git and no litter.
mkdir "$tree"
if [ -e "$here/.git" ] && command -v git >/dev/null; then
    (cd "$here" && git ls-files -z --cached --others --exclude-standard \
        | tar --null --files-from=- --ignore-failed-read -cf - 2>"$work/gone") | tar -xf - -C "$tree"
else
    tar -C "$here" --exclude=./.venv --exclude=./.cache --exclude=./dist --exclude=__pycache__ \
        -cf - . | tar -xf - -C "$tree"
fi
mv "$tree/packaging/debian" "$tree/debian"

# Debian's Python builds, whichever other is first on the developer's path.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset BALLOON_AGENT_REQUIRE_XENSTORED  # a package build fetches nothing
if ! (cd "$tree" && dpkg-buildpackage --no-sign --build=binary >"$work/log" 2>&1); then
    cat "$work/log" >&2
    exit 1
fi
cp "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$into"
if [ -n "${VERBOSE:-}" ]; then cat "$work/log"; fi
(cd "$into" && ls -1 -- *.deb)
