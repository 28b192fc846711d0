#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# fetch.sh DIRECTORY: puts Debian's xenstored, unmodified, and the stand-in libraries that let it
# run without Xen (shim.c) into DIRECTORY. Nothing is installed and no root is needed.
# Needs apt-get with package lists, dpkg-deb, objdump and cc. Afterwards there are
#   DIRECTORY/xenstored    a link to the daemon
#   DIRECTORY/shim/        for LD_LIBRARY_PATH
set -eu

destination=${1:?usage: fetch.sh DIRECTORY}
here=$(cd "$(dirname "$0")" && pwd)

missing=
for tool in apt-get apt-cache dpkg-deb objdump cc; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "fetch.sh: needs$missing (Debian: apt-get install binutils gcc libc6-dev)" >&2
    exit 1
fi

mkdir -p "$destination"
destination=$(cd "$destination" && pwd)
work=$(mktemp -d "$destination/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/packages" "$work/shim"

# The package is named after the Xen version of the distribution.
utilities=$(apt-cache search --names-only '^xen-utils-[0-9][0-9.]*$' | cut -d' ' -f1 |
    sort -V | tail -n 1)
if [ -z "$utilities" ]; then
    echo "fetch.sh: apt knows no xen-utils package; run apt-get update" >&2
    exit 1
fi
# Only root hands downloads to the sandbox user, who could not write here.
(cd "$work/packages" && apt-get -qq -o APT::Sandbox::User=root download "$utilities")
dpkg-deb -x "$work"/packages/*.deb "$work/root"
daemon=$(find "$work/root/usr/lib" -path '*/bin/xenstored' | head -n 1)
if [ -z "$daemon" ]; then
    echo "fetch.sh: no xenstored in $utilities" >&2
    exit 1
fi

# The names and symbol versions of the libraries to stand in for are in the daemon itself:
#     required from libxenevtchn.so.1:
#       0x058a4e50 0x00 07 VERS_1.0
objdump -p "$daemon" | awk '
    /required from/            { library = $3; sub(/:$/, "", library); next }
    $4 !~ /^VERS_/             { next }
    library ~ /^libxenevtchn/  { print library, $4, "xenevtchn_*" }
    library ~ /^libxengnttab/  { print library, $4, "xengnttab_*" }
    library ~ /^libxenctrl/    { print library, $4, "xc_*" }
' > "$work/needed"
cut -d' ' -f1 "$work/needed" | sort -u | while read -r library; do
    # One version node may hold all of a library's functions but the ones a later node names.
    awk -v library="$library" '
        $1 != library { next }
        $2 == "VERS_1.2" { print $2 " { global: xenevtchn_fdopen; };"; next }
        { print $2 " { global: " $3 "; };" }
    ' "$work/needed" > "$work/$library.map"
    cc -O1 -Wall -Wextra -fPIC -shared -Wl,--version-script="$work/$library.map" \
        -Wl,-soname="$library" -o "$work/shim/$library" "$here/shim.c"
done

rm -rf "$destination/root" "$destination/shim"
mv "$work/root" "$work/shim" "$destination/"
ln -sfn "${daemon#"$work"/}" "$destination/xenstored"
echo "$destination/xenstored"
