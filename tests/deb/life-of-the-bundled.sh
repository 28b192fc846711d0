#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# life-of-the-bundled.sh DEBS NEWER_DEBS GUESTS: installs, upgrades, removes and purges the package
# that has its libraries inside, in the Debian root it runs in, as root.  GUESTS is a folder with
# every_capture.py, the guests it shows, and what `status --json` must say of each.
set -eu
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

debs=$1
newer=$2
guests=$3
work=$(mktemp -d)
config=/etc/balloon-agent/config.toml
ok() { echo "ok: $*"; }
fail() {
    echo "FAILED: $*"
    exit 1
}
there() { "$(dirname "$0")/what-is-there.sh" "$work" "$debs" "$newer" "$guests"; }

there >"$work/before"
dpkg -i "$debs"/balloon-agent_*bundled*.deb >"$work/log" 2>&1 || fail "$(cat "$work/log")"
[ -z "$(dpkg --audit)" ] || fail "dpkg --audit"
dpkg --verify balloon-agent | grep . && fail "files differ from the package's"
cd /tmp
balloon-agent --sim balloon-up status --json | grep -q '"schema": 1' || fail "status --json"
python3 -I "$guests/forms/every_capture.py" /usr/bin/balloon-agent --as "$guests/every-capture" ||
    fail "another JSON than the tree's"
balloon-agent config check >/dev/null || fail "the default configuration is not accepted"
[ -n "$(find /etc/systemd/system -name balloon-agent.service -path '*.wants/*')" ] || fail "not enabled"
ok "installed with python3 alone, and runs on $(python3 --version)"
echo '# changed by the administrator' >>"$config"
dpkg --force-confold -i "$newer"/balloon-agent_*bundled*.deb >"$work/log" 2>&1 || fail "$(cat "$work/log")"
grep -q 'changed by' "$config" || fail "an upgrade lost the configuration"
balloon-agent --version >/dev/null || fail "the upgraded agent does not run"
rm -f "$config".dpkg-*
ok "upgraded, the changed configuration kept"
dpkg -r balloon-agent >"$work/log" 2>&1 || fail "$(cat "$work/log")"
grep -q 'changed by' "$config" || fail "removal lost the configuration"
dpkg -P balloon-agent >"$work/log" 2>&1 || fail "$(cat "$work/log")"
there >"$work/after"
diff "$work/before" "$work/after" || fail "packages and files are not as before"
ok "purged: packages and files are as they were"
