# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated domain as a capture: the tree of files that `--root` reads.

sys/..., proc/... and kernel.log as root sees them, nonroot/proc/iomem as everybody does,
xenstore/<key> for the guest's own keys (a key with children is a folder), meta.json for people.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from sim_backend.guest.domain import SimulatedDomain

_ADDRESSES = re.compile(r"[0-9a-f]{8,}-[0-9a-f]{8,}")


def write_capture(domain: SimulatedDomain, directory: Path) -> None:
    """Write the domain's files as they are now below `directory`, which is made if need be.

    Raises:
        OSError: a file could not be written.
    """
    shown = dict(domain.files())
    shown["nonroot/proc/iomem"] = _ADDRESSES.sub("00000000-00000000", shown["proc/iomem"])
    shown["meta.json"] = json.dumps(_about(domain), indent=1) + "\n"
    keys = domain.store.items()
    parents = {key.rsplit("/", depth)[0] for key in keys for depth in range(1, key.count("/") + 1)}
    for key, value in keys.items():
        if key not in parents:
            shown[f"xenstore/{key}"] = value
    for path, text in shown.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _about(domain: SimulatedDomain) -> dict[str, object]:
    config = domain.config
    return {
        "simulated": True,
        "scenario": domain.origin.detail,
        "domain_type": config.domain_type,
        "kernel": config.image.release_text,
        "memory_mib": config.memory_kib // 1024,
        "maxmem_mib": config.maxmem_kib // 1024,
        "happenings": [
            f"{happening.when_s:.3f} {happening.kind}: {happening.text}"
            for happening in domain.happenings
        ],
    }
