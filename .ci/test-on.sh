#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# test-on.sh RELEASE: what needs neither Xen nor a service, tested with the Python of that Debian
# release, in a root that is made for it and thrown away; as root.
set -eu

release=$1
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
tar -C "$here" --exclude=./.git --exclude=./.venv --exclude=./.cache --exclude=./dist \
    --exclude=__pycache__ -cf "$work/tree.tar" .
cat >"$work/test.sh" <<'END'
set -eu
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1
cd /tree
python3 -m venv /venv
/venv/bin/python -m pip --quiet install --constraint packaging/constraints.txt '.[test]'
/venv/bin/python --version
/venv/bin/python -m pytest -q -p no:cacheprovider --import-mode=append --hypothesis-profile=package \
    tests/core tests/report tests/cli/test_install_service.py
END
# Debian's index of a release may have run out; its packages are what they were.
mmdebstrap --variant=apt --format=null --quiet --include=python3,python3-venv,ca-certificates \
    --aptopt='Acquire::Check-Valid-Until "false"' \
    --customize-hook='mkdir "$1/tree"' --customize-hook="tar-in $work/tree.tar /tree" \
    --customize-hook="copy-in $work/test.sh /" \
    --customize-hook='cp /etc/resolv.conf "$1/etc/"; cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"' \
    --customize-hook='chroot "$1" sh /test.sh' "$release" /dev/null
