#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# want.sh WHO PROGRAM PACKAGE: sees to it that a program is there, for the script that says WHO it is.
# As root on Debian it installs the package; else it names the command, and ends with 1.
set -eu

who=$1 program=$2 package=$3
if ! command -v "$program" >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "$who: installing $package" >&2
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$package" >/dev/null
fi
command -v "$program" >/dev/null || {
    echo "$program is not there. On Debian, as root: apt-get install $package" >&2
    exit 1
}
