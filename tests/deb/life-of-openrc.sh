#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# life-of-openrc.sh PROGRAM SCRIPT: in a root with OpenRC and, for every shell, busybox's ash, as
# root: the one file installs itself, OpenRC's openrc-run starts, reloads and stops what it wrote,
# SCRIPT, which Alpine's package runs before it goes, ends it and has its keys taken back, and so
# does the one file's own removal.  In the place of the daemon's domain stands a simulated one.
set -eu
program=$1 before_it_goes=$2
ok() { echo "ok: $*"; }
fail() {
    echo "FAILED: $*"
    exit 1
}
there() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /domain \) -prune \
        -o -exec stat -c '%F %a %n' {} + | sort
}
# As after a boot by OpenRC, whose own init.sh makes these.
for state in daemons exclusive failed hotplugged inactive options scheduled started starting \
    stopping wasinactive tmp; do
    mkdir -p "/run/openrc/$state"
done
mkdir -p /run/lock /etc/conf.d
touch /run/openrc/softlevel
there >/tmp/before
"$program" install-service --init openrc >/tmp/said || fail "$(cat /tmp/said)"
grep -q '^Next: rc-update add balloon-agent' /tmp/said || fail "$(cat /tmp/said)"
ok "installed: $(grep -c '^wrote' /tmp/said) files"
PYTHONPATH=$program python3 -m sim_backend.published balloon-up /domain </dev/zero >/tmp/domain 2>&1 &
domain=$!
trap 'kill $domain 2>/dev/null' EXIT
tries=0
until grep -q guest.sock /tmp/domain; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || fail "no domain: $(cat /tmp/domain)"
    sleep 0.1
done
cat >/etc/conf.d/balloon-agent <<'END'
balloon_agent_options="--root /domain/root --xenstore /domain/guest.sock"
BALLOON_AGENT_ANYWHERE=yes
END
script=/etc/init.d/balloon-agent
$script start || fail "start"
in_the_domain() { # whether the host has keys of the agent's
    PYTHONPATH=$program python3 -c '
from agent.sources.xenstore.session import XenstoreSession
with XenstoreSession("/domain/guest.sock") as session:
    raise SystemExit("balloon" not in session.list("data"))'
}
until_it_runs() {
    tries=0
    until [ -e /domain/root/run/balloon-agent/status.json ] && in_the_domain; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || fail "no daemon: $(tail /var/log/* 2>/dev/null)"
        sleep 0.1
    done
}
until_it_runs
# its_process: its number, once start-stop-daemon's child has become the daemon.
its_process() {
    tries=0
    until pgrep -f '/usr/local/bin/balloon-agent --root'; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || return 1
        sleep 0.1
    done
}
$script status | grep -q started || fail "status: $($script status)"
pid=$(its_process) || fail "no process"
ok "started, as process $pid"
$script reload || fail "reload"
kill -0 "$pid" || fail "a reload ended it"
$script stop || fail "stop"
! kill -0 "$pid" 2>/dev/null || fail "it still runs"
in_the_domain || fail "a stop took back what the host was told"
ok "stopped"
$script start || fail "start once more"
pid=$(its_process) || fail "no process once more"
mkdir /tmp/bin
cat >/tmp/bin/cat <<'END'
#!/bin/sh
if [ "$1" = /sys/hypervisor/type ]; then echo xen; else exec /bin/cat "$@"; fi
END
cat >/tmp/bin/balloon-agent <<'END'
#!/bin/sh
exec /usr/local/bin/balloon-agent --root /domain/root --xenstore /domain/guest.sock "$@"
END
chmod 755 /tmp/bin/*
PATH=/tmp/bin:$PATH sh "$before_it_goes" || fail "before Alpine's package goes"
! kill -0 "$pid" 2>/dev/null || fail "it outlives Alpine's package"
! in_the_domain || fail "Alpine's package leaves keys"
ok "ended, and its keys taken back, before Alpine's package goes"
$script start || fail "start at last"
until_it_runs
$script stop || fail "stop at last"
rm /etc/conf.d/balloon-agent
rc-update add balloon-agent default >/dev/null || fail "rc-update add"
"$program" install-service --remove >/tmp/said 2>&1 && fail "removed, though it is enabled"
first=$(sed -n 's/^balloon-agent: The service is enabled; first: //p' /tmp/said)
sh -ec "${first:-cat /tmp/said; exit 1}" >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
"$program" --root /domain/root --xenstore /domain/guest.sock install-service --remove >/tmp/said ||
    fail "$(cat /tmp/said)"
! in_the_domain || fail "the one file leaves keys"
there >/tmp/after
diff /tmp/before /tmp/after || fail "files are not as before"
ok "removed: files are as they were"
