#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# what-is-there.sh [PATH ...]: lists the packages and files of the Debian it runs in, to be compared
# with what was there before.  The PATHs are left out.
#
# Every path comes with its kind, mode, owner and, below /etc, its content; not what apt, dpkg and
# man-db keep of themselves and what a running system writes anyway.
set -eu
export LC_ALL=C.UTF-8

dpkg-query -W -f='${Package} ${Version} ${db:Status-Abbrev}\n' | sort
leave_out=
for path in "$@"; do leave_out="$leave_out -o -path $path"; done
# shellcheck disable=SC2086
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/tmp \
    -o -path /run -o -path /var/cache -o -path /var/log -o -path /var/lib/dpkg \
    -o -path /var/lib/apt -o -path /var/lib/systemd/timers $leave_out \) -prune \
    -o -printf '%y %m %U:%G %p %l\n' | sort
# Of what a running system writes, what bears the agent's name.
find /run /var -name '*balloon*agent*' ! -path '/var/cache/*' ! -path '/var/lib/apt/*' | sort
find /etc -xdev -type f ! -name ld.so.cache -exec sha256sum {} + | sort
