# SPDX-License-Identifier: GPL-2.0-or-later
"""Turn capture trees of the Xen lab into the fixtures beside this file.

python3 -m tests.captures.collect DIRECTORY...     each holding GUEST/STATE/{sys,proc,xenstore}
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from agent.capture import captured_files
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.key_store import CapturedKeys
from tests.captures import HERE

_META = (
    "domain_type",
    "memory_mib",
    "maxmem_mib",
    "vcpus",
    "kernel",
    "dom0_command",
    "guest_command",
)


def collect(tree: Path) -> Path:
    """Write one capture tree as a fixture; returns where."""
    root = SystemRoot(str(tree))
    meta = json.loads((tree / "meta.json").read_text(encoding="utf-8"))
    document = {
        "meta": {key: meta[key] for key in _META if key in meta} | _seen_from_dom0(tree),
        "files": captured_files(root, CapturedKeys(root)),
    }
    document["files"].pop("proc/vmstat", None)
    target = HERE / tree.parent.name / f"{tree.name}.json"
    target.parent.mkdir(exist_ok=True)
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
    target.write_text(text + "\n", encoding="utf-8")
    return target


def _seen_from_dom0(tree: Path) -> dict[str, int]:
    """What `xl list` said of the domain at that moment, in MiB."""
    listing = tree / "seen-from-dom0" / "xl-list.txt"
    if not listing.exists():
        return {}
    name = "Domain-0" if tree.parent.name.startswith("dom0") else tree.parent.name
    match = re.search(rf"^{re.escape(name)}\s+\d+\s+(\d+)", listing.read_text(), re.MULTILINE)
    return {"xl_list_mib": int(match.group(1))} if match else {}


def main(directories: list[str]) -> int:
    """Collect every capture tree below the directories."""
    for directory in directories:
        for meta in sorted(Path(directory).glob("*/*/meta.json")):
            print(collect(meta.parent).relative_to(HERE))
    return 0 if directories else 64


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
