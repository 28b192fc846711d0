#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# life-of-an-rpm.sh RPM ROOT: rpm installs, verifies, upgrades (to itself) and removes the package in
# ROOT, a Debian root whose Python runs it; as root.  Nothing is left but what was there.
set -eu
export LC_ALL=C.UTF-8

rpm=$1
root=$2
ok() { echo "ok: $*"; }
fail() {
    echo "FAILED: $*"
    exit 1
}
# dpkg, not rpm, knows that root's packages: that one dependency is looked at by hand.
in_root() { rpm --root "$root" --dbpath /var/lib/rpm-of-the-test "$@"; }
there() { find "$root" -xdev \( -path "$root/var/lib/rpm-of-the-test" -o -path "$root/dev" \) -prune -o -printf '%y %m %P %l\n' | sort; }

# Of systemd's and the file system's own packages, where rpm has put in place all that there is.
mkdir -p "$root/usr/lib/systemd/system" "$root/usr/lib/systemd/system-preset" \
    "$root/usr/share/licenses" "$root/usr/share/man/man1"
there >"$root.before"
rpm -qp --requires "$rpm" | grep -qx 'python3 >= 3.9' || fail "what it requires"
[ "$(rpm -qp --queryformat '%{ARCH}' "$rpm")" = noarch ] || fail "its architecture"
in_root --initdb
in_root --nodeps -i "$rpm" || fail "rpm -i"
in_root -V --nodeps balloon-agent || fail "rpm -V"
ok "installed, every file as packed"
chroot "$root" balloon-agent --version >/dev/null || fail "balloon-agent --version"
chroot "$root" balloon-agent --sim balloon-up status --json >"$root.json" || fail "a simulated status"
grep -q '"schema": 1' "$root.json" || fail "status --json is no status"
chroot "$root" balloon-agent config check >/dev/null || fail "the default configuration"
ok "runs on $(chroot "$root" python3 --version)"
[ -e "$root/usr/lib/systemd/system/balloon-agent.service" ] || fail "no unit"
echo '# changed by the administrator' >>"$root/etc/balloon-agent/config.toml"
in_root --nodeps -U --force "$rpm" || fail "rpm -U"
grep -q 'changed by' "$root/etc/balloon-agent/config.toml" || fail "an upgrade lost the configuration"
ok "upgraded, the changed configuration kept"
in_root --nodeps -e balloon-agent || fail "rpm -e"
[ -e "$root/etc/balloon-agent/config.toml.rpmsave" ] || fail "removal lost the configuration"
rm "$root/etc/balloon-agent/config.toml.rpmsave"
find "$root/etc/balloon-agent" -type d -empty -delete 2>/dev/null || true
there >"$root.after"
diff "$root.before" "$root.after" || fail "files are not as before"
ok "removed: files are as they were"
