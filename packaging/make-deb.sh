#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# make-deb.sh DIRECTORY [bundled]: Debian packages of this tree in DIRECTORY, built by Debian's own
# tools; as root it first installs what the build wants.  With Debian's own libraries and their
# tests, for Debian 12 and Ubuntu 24.04 on; or, "bundled", around DIRECTORY/balloon-agent.pyz, for
# Debian 11 and Ubuntu 22.04.  DEB_BUILD_OPTIONS=nocheck leaves the tests out, and what they want.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
into=${1:?usage: make-deb.sh DIRECTORY [bundled]}
debian=$here/packaging/debian${2:+-$2}
say() { echo "deb: $*" >&2; }

profiles=
case " ${DEB_BUILD_OPTIONS:-} " in *" nocheck "*) profiles=nocheck ;; esac
missing() {
    if ! command -v dpkg-buildpackage >/dev/null; then
        echo "dpkg-dev, and what the build needs"
    elif ! unmet=$(dpkg-checkbuilddeps -P "$profiles" "$debian/control" 2>&1); then
        echo "${unmet##*: }"
    fi
}
build_dep="apt-get build-dep${profiles:+ -P $profiles}"
if [ -n "$(missing)" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing what the build wants: $(missing)"
    scratch=$(mktemp -d)  # apt-get wants the folder that holds debian/
    ln -s "$debian" "$scratch/debian"
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive $build_dep -qq -y --no-install-recommends "$scratch" >"$scratch/log" 2>&1 \
        || { cat "$scratch/log" >&2; rm -rf "$scratch"; exit 1; }
    rm -rf "$scratch"
fi
if [ -n "$(missing)" ]; then
    echo "To build the package Debian packages are missing: $(missing)." >&2
    echo "On Debian 12 or later, as root:" >&2
    echo "  $build_dep ${debian%/debian}" >&2
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
cp -r "$debian" "$tree/debian"
if [ -n "${2:-}" ]; then
    [ -e "$into/balloon-agent.pyz" ] || { echo "No $into/balloon-agent.pyz: make onefile" >&2; exit 1; }
    cp "$into/balloon-agent.pyz" "$tree"
    # Older than the package with Debian's libraries: a release upgrade brings that.
    sed "1s/)/~$2)/" "$here/packaging/debian/changelog" >"$tree/debian/changelog"
fi

# Debian's Python builds, whichever other is first on the developer's path.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset BALLOON_AGENT_REQUIRE_XENSTORED  # a package build fetches nothing
say "building${2:+, with its libraries inside}${profiles:+, without its tests}"
# What is done, as it is done: the names of the steps, and what the tests say of themselves.
{
    (cd "$tree" && dpkg-buildpackage --no-sign --build=binary \
        ${profiles:+--build-profiles=$profiles} 2>&1 && echo "deb: built") || echo "deb: failed"
} | tee "$work/log" | awk '/^ +dh_|^\.|passed|failed/ { print "  " $0; fflush() }' >&2
if [ "$(tail -n 1 "$work/log")" != "deb: built" ]; then
    cat "$work/log" >&2
    exit 1
fi
cp "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$into"
(cd "$work" && ls -1 -- *.deb)
