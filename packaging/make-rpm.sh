#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# make-rpm.sh DIST: the RPM around DIST/balloon-agent.pyz, beside it; Debian's rpmbuild does,
# which it installs as root.  The same file gives the same bytes: times are those of the changelog.
set -eu

dist=$(cd "${1:?usage: make-rpm.sh DIST}" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
[ -e "$dist/balloon-agent.pyz" ] || { echo "No $dist/balloon-agent.pyz: make onefile" >&2; exit 1; }
"$here/packaging/want.sh" rpm rpmbuild rpm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

mkdir "$work/sources"
cp "$dist/balloon-agent.pyz" "$here/systemd/balloon-agent.service" \
    "$here/systemd/90-balloon-agent.preset" "$here/systemd/config.toml" \
    "$here/docs/balloon-agent.1" "$here/README.md" "$here/LICENSE" "$work/sources"
version=$(sed -n 's/^__version__.*"\(.*\)".*/\1/p' "$here/agent/__init__.py")
echo "rpm: building" >&2
if ! SOURCE_DATE_EPOCH=$(date --date="$(sed -n 's/^ -- .*>  //p' "$here/packaging/debian/changelog" \
    | head -n 1)" +%s) LC_ALL=C.UTF-8 rpmbuild -bb \
    --define "_topdir $work/rpm" --define "_sourcedir $work/sources" \
    --define "agent_version $version" --define "_buildhost balloon-agent" \
    --define "use_source_date_epoch_as_buildtime 1" \
    --define "clamp_mtime_to_source_date_epoch 1" \
    --define "_prefix /usr" --define "_sysconfdir /etc" --define "_mandir /usr/share/man" \
    --define "_docdir /usr/share/doc" --define "_defaultlicensedir /usr/share/licenses" \
    "$here/packaging/rpm/balloon-agent.spec" >"$work/log" 2>&1; then
    cat "$work/log" >&2
    exit 1
fi
cp "$work"/rpm/RPMS/noarch/*.rpm "$dist"
(cd "$work/rpm/RPMS/noarch" && ls -1 -- *.rpm)
