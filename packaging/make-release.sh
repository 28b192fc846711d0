#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# make-release.sh DIST: all that is published, in DIST: the wheel and the source archive, the one
# file, both Debian packages, the RPM, what Alpine's abuild wants, the bill of materials, SHA256SUMS.
# As root it installs what the build wants.  DEB_BUILD_OPTIONS=nocheck leaves out the tests.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "${1:?usage: make-release.sh DIST}"
dist=$(cd "$1" && pwd)
"$here/packaging/want.sh" release rpmbuild rpm  # before anything that takes long
# Times are those of the changelog, whenever this is built.
SOURCE_DATE_EPOCH=$(date --date="$(sed -n 's/^ -- .*>  //p' "$here/packaging/debian/changelog" \
    | head -n 1)" +%s)
export SOURCE_DATE_EPOCH

"${BUILD_PYTHON:-python3}" -m build --no-isolation --outdir "$dist" "$here" >/dev/null
"$here/packaging/make-onefile.sh" "$dist" ${RELEASES:-}
"$here/packaging/make-deb.sh" "$dist"
"$here/packaging/make-deb.sh" "$dist" bundled
"$here/packaging/make-rpm.sh" "$dist"
"$here/packaging/make-sbom.sh" "$dist"
# The names that APKBUILD has for what it takes.
cp "$here/packaging/alpine/APKBUILD" "$here/packaging/alpine/balloon-agent.pre-deinstall" \
    "$here/systemd/config.toml" "$here/docs/balloon-agent.1" "$dist"
cp "$here/openrc/balloon-agent" "$dist/balloon-agent.initd"
(
    srcdir=
    . "$dist/APKBUILD"
    for name in $source $install; do
        [ -e "$dist/$name" ] || { echo "release: APKBUILD takes $name, which is not there" >&2; exit 1; }
    done
)
(cd "$dist" && find . -maxdepth 1 -type f \( -name '*.whl' -o -name '*.tar.gz' -o -name '*.pyz' \
    -o -name '*.deb' -o -name '*.rpm' -o -name '*.cdx.json' -o -name APKBUILD -o -name '*.initd' \
    -o -name '*.pre-deinstall' -o -name config.toml -o -name '*.1' \) \
    -printf '%f\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS && cat SHA256SUMS)
