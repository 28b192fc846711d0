# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux release numbers, as far as the balloon's behaviour depends on them."""

from __future__ import annotations

import re
from typing import NamedTuple

_RELEASE = re.compile(r"(\d{1,3})\.(\d{1,4})(?:\.(\d{1,6}))?", re.ASCII)


class KernelRelease(NamedTuple):
    """major.minor.patch; compares as releases do."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def parse_kernel_release(text: str) -> KernelRelease | None:
    """`6.1.0-56-amd64` -> 6.1.0; None when it does not begin with a release number.

    Distributions put their own counter in the third place, so `patch` says nothing certain
    about stable fixes.
    """
    match = _RELEASE.match(text.strip())
    if match is None:
        return None
    major, minor, patch = match.groups()
    return KernelRelease(int(major), int(minor), int(patch or 0))
