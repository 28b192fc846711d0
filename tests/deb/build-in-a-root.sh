#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# build-in-a-root.sh TREE DEBS: in the Debian root it runs in, as root: installs what the build
# needs, builds the packages of TREE with their tests into DEBS, and leaves lintian's words there.
set -eu
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

tree=$1
debs=$2
quietly="apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0"

$quietly build-dep "$tree/packaging"
$quietly install lintian
VERBOSE=1 "$tree/packaging/make-deb.sh" "$debs"
lintian --allow-root --fail-on=none --display-info "$debs"/*.changes >"$debs/lintian"
