#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# life-of-a-package.sh DEBS NEWER_DEBS GUESTS: installs, upgrades, removes and purges balloon-agent in the
# Debian root it runs in, as root, and compares with what was there before.  Each step says "ok";
# the first that fails ends it with "FAILED" and status 1.  No service runs there; the daemon's side
# of this life is played in a guest of Xen (tests/xenlab/scenarios/package.py).
#
# DEBS and NEWER_DEBS are folders with balloon-agent_*.deb and balloon-agent-metrics_*.deb, GUESTS
# one with every_capture.py, the guests it shows, and what `status --json` must say of each.
set -eu
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

debs=$1
newer=$2
guests=$3
work=$(mktemp -d)
config=/etc/balloon-agent/config.toml
unit=balloon-agent.service

ok() { echo "ok: $*"; }
fail() {
    echo "FAILED: $*"
    exit 1
}
apt() { apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@" >"$work/apt.log" 2>&1 \
    || { cat "$work/apt.log"; fail "apt-get $*"; }; }
there() { "$(dirname "$0")/what-is-there.sh" "$work" "$debs" "$newer" "$guests"; }

version_of() { dpkg-query -W -f='${Version}' "$1"; }

# A service that is enabled has a link that starts it.
is_enabled() { [ -n "$(find /etc/systemd/system -name "$1" -path '*.wants/*')" ]; }

there >"$work/before"

# --- install ---------------------------------------------------------------------------------
apt install "$debs"/balloon-agent_*.deb
ok "installed $(version_of balloon-agent)"
dpkg-query -W python3-prometheus-client >/dev/null 2>&1 \
    && ! grep -q '^python3-prometheus-client ' "$work/before" \
    && fail "the agent pulled in the metrics' library"
[ -z "$(dpkg --audit)" ] || fail "dpkg --audit: $(dpkg --audit)"
dpkg --verify balloon-agent | grep . && fail "files differ from the package's"
ok "every file is the package's"

cd /tmp
balloon-agent --version >/dev/null || fail "balloon-agent --version"
balloon-agent --sim balloon-up status --json >"$work/status.json" || fail "a simulated status"
python3 -I -c 'import json,sys; assert json.load(open(sys.argv[1]))["schema"] == 1' \
    "$work/status.json" || fail "status --json is no status"
python3 -I -c 'import agent' 2>/dev/null && fail "the modules are on everybody's import path"
find /usr/share/balloon-agent -name '*.py' -size +0 >"$work/modules"
while read -r module; do
    cached=$(dirname "$module")/__pycache__/$(basename "$module" .py).cpython-*.pyc
    # shellcheck disable=SC2086
    ls $cached >/dev/null 2>&1 || fail "no byte code of $module"
done <"$work/modules"
ok "runs, apart from everybody's modules, with byte code of $(wc -l <"$work/modules") modules"

python3 -I "$guests/forms/every_capture.py" /usr/bin/balloon-agent --as "$guests/every-capture" \
    || fail "another JSON than the tree's"

[ -e "$config" ] || fail "no $config"
dpkg-query -W -f='${Conffiles}' balloon-agent | grep -q "$config" || fail "$config: no conffile"
balloon-agent config check >/dev/null || fail "the default configuration is not accepted"
ok "the default configuration is a conffile, and accepted"

[ -e /lib/systemd/system/$unit ] || fail "no $unit"
is_enabled $unit || fail "$unit is not enabled"
if command -v systemd-analyze >/dev/null; then
    systemd-analyze verify --man=no "/lib/systemd/system/$unit" || fail "systemd-analyze verify"
fi
ok "the unit is there, enabled and well-formed"
if command -v man >/dev/null; then
    MANWIDTH=80 man --warnings -E UTF-8 -l "$(find /usr/share/man -name 'balloon-agent.*')" \
        >"$work/man" 2>"$work/man.warnings" || fail "the man page does not render"
    [ -s "$work/man" ] && [ ! -s "$work/man.warnings" ] || fail "man: $(cat "$work/man.warnings")"
    ok "the man page renders without warnings"
fi
offered=$(COMP_WORDS='balloon-agent st' COMP_CWORD=1 _BALLOON_AGENT_COMPLETE=bash_complete \
    balloon-agent)
[ "$offered" = plain,status ] || fail "completion offers: $offered"
grep -q _BALLOON_AGENT_COMPLETE /usr/share/bash-completion/completions/balloon-agent \
    || fail "no completion for bash"
ok "commands complete"

# --- upgrade, with a configuration that the administrator changed ------------------------------
echo '# changed by the administrator' >>"$config"
mkdir -p /etc/balloon-agent/config.d
echo '# a local file' >/etc/balloon-agent/config.d/local.toml
apt -o Dpkg::Options::=--force-confold install "$newer"/balloon-agent_*.deb
grep -q 'changed by the administrator' "$config" || fail "an upgrade lost the configuration"
balloon-agent --sim balloon-up status >/dev/null || fail "the upgraded agent does not run"
rm -f "$config".dpkg-*
ok "upgraded to $(version_of balloon-agent), the changed configuration kept"

# --- the metrics, a package of its own ----------------------------------------------------------
apt install "$newer"/balloon-agent-metrics_*.deb
dpkg --verify balloon-agent-metrics | grep . && fail "files differ from the package's"
balloon-agent --sim balloon-up metrics | grep -q '^[a-z]' || fail "no metrics"
apt purge balloon-agent-metrics
balloon-agent --sim balloon-up status >/dev/null || fail "the agent left with its metrics"
ok "metrics came and went"

# --- remove: the program is gone, the configuration stays --------------------------------------
apt remove balloon-agent
[ -e /usr/bin/balloon-agent ] && fail "/usr/bin/balloon-agent is still there"
[ -e /usr/share/balloon-agent ] && fail "left: $(find /usr/share/balloon-agent | head)"
grep -q 'changed by the administrator' "$config" || fail "removal lost the configuration"
ok "removed; the configuration stayed"

# --- and installed again: as it was -------------------------------------------------------------
apt install "$newer"/balloon-agent_*.deb
grep -q 'changed by the administrator' "$config" || fail "a new installation lost the configuration"
is_enabled $unit || fail "$unit is not enabled again"
ok "installed again over it"

# --- purge: the guest is as it was ---------------------------------------------------------------
rm /etc/balloon-agent/config.d/local.toml
apt purge balloon-agent
apt autoremove --purge
there >"$work/after"
diff "$work/before" "$work/after" || fail "packages and files are not as before"
ok "purged: packages and files are as they were"
rm -rf "$work"
