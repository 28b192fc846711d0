#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# test-wheel.sh DIST [PYTHON...]: tests the wheel in DIST, not the checkout. For each PYTHON
# (default: python3) a clean environment gets the wheel, with the pinned versions; then the tests
# of the source archive in DIST run against it. ONLY=PATHS runs a part of them.
set -eu

dist=$(cd "${1:?usage: test-wheel.sh DIST [PYTHON...]}" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
shift
[ $# -gt 0 ] || set -- "${PYTHON:-python3}"
work=$(mktemp -d)
chmod 755 "$work"  # some tests become an ordinary user, who must reach the environment
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

fail() {
    echo "test-wheel: $*" >&2
    exit 1
}
set -- "$@" --
wheel=$(ls -t "$dist"/balloon_agent-*.whl | head -n 1)
archive=$(ls -t "$dist"/balloon_agent-*.tar.gz | head -n 1)
[ -e "$wheel" ] && [ -e "$archive" ] || fail "no wheel and source archive in $dist: make wheel"
mkdir "$work/source"
tar -xzf "$archive" -C "$work/source" --strip-components=1
if [ -d "$here/.cache" ]; then ln -s "$here/.cache" "$work/source/.cache"; fi

# No directory but the environment's is looked at for modules, also not by children of the tests.
PYTHONSAFEPATH=1
export PYTHONSAFEPATH
unset PYTHONPATH

while [ "$1" != -- ]; do
    venv=$work/venv
    rm -rf "$venv"
    PYTHON=$1 "$here/packaging/make-venv.sh" "$venv"
    pip="$venv/bin/python -m pip --quiet --disable-pip-version-check"
    pins=$work/source/packaging/constraints.txt
    $pip install --constraint "$pins" "$wheel"
    echo "$("$venv/bin/python" --version): $(basename "$wheel") in an environment of its own"

    cd /
    "$venv/bin/balloon-agent" --version >/dev/null || fail "the command does not start"
    "$venv/bin/balloon-agent" --sim balloon-up status >/dev/null || fail "status"
    mkdir -p "$work/image"
    "$venv/bin/balloon-agent" install-service --into "$work/image" --metrics >/dev/null \
        || fail "install-service"
    "$venv/bin/balloon-agent" install-service --into "$work/image" --remove >/dev/null \
        || fail "install-service --remove"
    [ -z "$(ls -A "$work/image")" ] || fail "install-service --remove left something"

    $pip install --constraint "$pins" "$wheel[test]"
    where=$("$venv/bin/python" -c 'import agent; print(agent.__file__)')
    case $where in "$venv"/*) ;; *) fail "tests would run on $where" ;; esac
    for package in agent sim_backend; do
        diff -r --exclude=__pycache__ --exclude=shipped "$work/source/$package" \
            "$(dirname "$where")/../$package" || fail "its modules are not the source archive's"
    done
    "$venv/bin/python" -I "$work/source/tests/forms/every_capture.py" "$venv/bin/balloon-agent" \
        ${EVERY_CAPTURE:+--as "$EVERY_CAPTURE"} >"$work/every-capture" || fail "another JSON"
    cd "$work/source"
    # shellcheck disable=SC2086
    "$venv/bin/python" -m pytest -q -p no:cacheprovider --import-mode=append ${ONLY:-}
    shift
done
