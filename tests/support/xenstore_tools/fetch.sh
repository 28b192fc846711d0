#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# fetch.sh DIRECTORY: puts Debian's xenstore-ls, -read, -write and so on, unmodified and with the
# libraries they need, below DIRECTORY/root. Nothing is installed and no root is needed.
# Needs apt-get with package lists and dpkg-deb.
set -eu

destination=${1:?usage: fetch.sh DIRECTORY}
mkdir -p "$destination"
destination=$(cd "$destination" && pwd)
work=$(mktemp -d "$destination/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Only root hands downloads to the sandbox user, who could not write here.
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download \
    xenstore-utils libxenstore4 libxentoolcore1)
for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$work/root"
done
rm -rf "$destination/root"
mv "$work/root" "$destination/"
echo "$destination/root/usr/bin"
