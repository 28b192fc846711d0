# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts that are kept to be looked at: what is shown or decided is what somebody has reviewed."""

from __future__ import annotations

import os
from pathlib import Path


def check_reviewed(file: Path, text: str) -> None:
    """Fail where `file` says something else; BALLOON_AGENT_UPDATE_GOLDEN=1 writes it anew."""
    if os.environ.get("BALLOON_AGENT_UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
