#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# test-on.sh RELEASE [coverage]: what needs neither Xen nor a service, tested with the Python of that
# Debian release, in a root that is made for it and thrown away; then what the wheel and the one file
# of dist/ say there of each guest that is held, beside dist/every-capture.  With "coverage" the tests
# must reach what pyproject.toml wants of them.  As root.
set -eu

release=$1
coverage=${2:-}
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
tar -C "$here" --exclude=./.git --exclude=./.venv --exclude=./.cache --exclude=./dist \
    --exclude=__pycache__ -cf "$work/tree.tar" .
mkdir "$work/dist"
cp "$(ls -t "$here"/dist/*.whl | head -n 1)" "$here/dist/balloon-agent.pyz" \
    "$here/dist/every-capture" "$work/dist"
cat >"$work/test.sh" <<'END'
set -eu
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1
cd /tree
python3 -m venv /venv
wheel=$(echo /dist/*.whl)
/venv/bin/python -m pip --quiet install --constraint packaging/constraints.txt "$wheel[test]"
/venv/bin/python --version
tests="-m pytest"
if [ -n "$1" ]; then
    /venv/bin/python -m pip --quiet install --constraint packaging/constraints.txt coverage
    export COVERAGE_CORE=sysmon  # nearly free
    tests="-m coverage run $tests"
fi
# shellcheck disable=SC2086
/venv/bin/python $tests -q -p no:cacheprovider --import-mode=append --hypothesis-profile=package \
    tests/core tests/report tests/cli/test_install_service.py
if [ -n "$1" ]; then /venv/bin/python -m coverage report; fi
for program in /venv/bin/balloon-agent /dist/balloon-agent.pyz; do
    /venv/bin/python -I tests/forms/every_capture.py "$program" --as /dist/every-capture
done
END
# Debian's index of a release may have run out; its packages are what they were.
mmdebstrap --variant=apt --format=null --quiet --include=python3,python3-venv,ca-certificates \
    --aptopt='Acquire::Check-Valid-Until "false"' \
    --customize-hook='mkdir "$1/tree"' --customize-hook="tar-in $work/tree.tar /tree" \
    --customize-hook="copy-in $work/test.sh $work/dist /" \
    --customize-hook='cp /etc/resolv.conf "$1/etc/"; cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"' \
    --customize-hook='chroot "$1" sh /test.sh '"'$coverage'" "$release" /dev/null
