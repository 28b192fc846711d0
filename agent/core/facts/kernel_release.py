# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux release numbers, as far as the balloon's behaviour depends on them."""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.facts.pattern import Pattern

_RELEASE = Pattern(r"(\d{1,3})\.(\d{1,4})(?:\.(\d{1,6}))?")

_DEBIAN_BUILD = Pattern(
    r"[0-9]{1,3}\.[0-9]{1,4}(?:\.[0-9]{1,6})?"
    r"(?:(?:[-+][a-z0-9.~]{1,16}){0,3}-(?:amd64|686-pae|686|arm64))?"
)

_I386_ENDS: Final = frozenset(
    {"386", "486", "586", "686", "i386", "i486", "i586", "i686", "pae", "PAE"}
)


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


def is_own_build(text: str) -> bool:
    """Whether `uname -r` names a build of another distribution than Debian.

    Debian's: `6.1.0-56-amd64`, `6.12.74+deb13-amd64`, `6.12.9+bpo-cloud-amd64`; a bare `6.1` names
    a release and no build.
    """
    return _DEBIAN_BUILD.fullmatch(text.strip()) is None


def bits_of(text: str) -> int:
    """32 where `uname -r` names a build for i386 (`6.1.0-13-686-pae`, `4.4.0-21-generic-pae`)."""
    return 32 if text.strip().replace("-", ".").rpartition(".")[2] in _I386_ENDS else 64
