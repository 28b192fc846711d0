# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the lab keeps what it builds and what its runs leave behind.

Everything lies below one folder that may be removed at any time: `.cache/xenlab` of the
repository, or what the environment variable BALLOON_AGENT_XENLAB names. Nothing of the machine
outside that folder is changed.
"""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LAB_SOURCES = Path(__file__).resolve().parent
LAST_DEMONSTRATION = LAB_SOURCES / "last-demonstration.json"
PICTURES = REPOSITORY / "docs/pictures"
LAST_RUN = LAB_SOURCES / "last-run.json"
"""The results of the last run of everything, which the documentation shows."""
PAGE = REPOSITORY / "docs" / "tested-on-xen.md"
ENVIRONMENT_VARIABLE = "BALLOON_AGENT_XENLAB"


def cache_root() -> Path:
    """Return the folder of the lab, which need not exist yet."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(chosen).resolve() if chosen else REPOSITORY / ".cache" / "xenlab"


def artifacts_root() -> Path:
    """Return the folder with the hypervisor, the kernels and the root file system."""
    return cache_root() / "artifacts"


def runs_root() -> Path:
    """Return the folder with one folder per run of scenarios."""
    return cache_root() / "runs"
