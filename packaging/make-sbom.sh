#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# make-sbom.sh DIST: the bill of materials of the wheel in DIST, as CycloneDX JSON beside it: the
# program and what it is installed with, at the pinned versions.  The same input gives the same file.
set -eu

dist=$(cd "${1:?usage: make-sbom.sh DIST}" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

wheel=$(ls -t "$dist"/balloon_agent-*.whl | head -n 1)
[ -e "$wheel" ] || { echo "make-sbom: no wheel in $dist: make wheel" >&2; exit 1; }
install="-m pip --quiet --disable-pip-version-check install"

# Two environments: what is described, and what describes it.
"$here/packaging/make-venv.sh" "$work/described"
"$here/packaging/make-venv.sh" "$work/tool"
"$work/tool/bin/python" $install 'cyclonedx-bom>=7,<8'
"$work/described/bin/python" $install --constraint "$here/packaging/constraints.txt" \
    "$wheel[metrics]"
"$work/described/bin/python" -m pip --quiet uninstall --yes pip setuptools 2>/dev/null

"$work/tool/bin/cyclonedx-py" environment --pyproject "$here/pyproject.toml" \
    --mc-type application --output-reproducible --output-format JSON \
    --output-file "$work/sbom.json" "$work/described/bin/python"

# pyproject.toml does not say the version: it is the wheel's.
sbom=${wheel%-py3-none-any.whl}.cdx.json
"$work/tool/bin/python" - "$work/sbom.json" "$sbom" "${sbom##*/}" <<'EOF'
import json, sys

source, target, name = sys.argv[1:]
with open(source, encoding="utf-8") as file:
    bill = json.load(file)
bill["metadata"]["component"]["version"] = name.split("-")[1].removesuffix(".cdx.json")
with open(target, "w", encoding="utf-8") as file:
    json.dump(bill, file, indent=2)
    file.write("\n")
EOF
echo "$sbom"
