# SPDX-License-Identifier: GPL-2.0-or-later
"""The hosts that the lab emulates: which Xen, whose dom0, which xenstored. Data only.

A release is a hypervisor with the toolstack, the xenstored and dom0's kernel of the Debian suite
that ships it. A host is one boot of a release: with xenstored in OCaml, which Debian starts, or in
C; with dom0 as a PV guest, as everywhere, or as PVH.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Xenstored = Literal["ocaml", "c"]
Dom0Type = Literal["pv", "pvh"]


class Release(NamedTuple):
    """A Xen and what is around it."""

    name: str
    """What a reader knows it by."""
    xen: str
    """The series, which is in the names of Debian's packages."""
    suite: str
    """Whose hypervisor, toolstack, xenstored and dom0 kernel these are."""
    root: str
    """The suite of the root file system of dom0 and of guests that name no other."""
    laid_over: tuple[str, ...] = ()
    """Packages of `suite` that are unpacked over a root of another suite."""


class Host(NamedTuple):
    """A release as it is booted."""

    name: str
    release: Release
    xenstored: Xenstored = "ocaml"
    dom0: Dom0Type = "pv"

    def in_words(self) -> str:
        """Return what is unusual about it, for a table."""
        words = [f"Xen {self.release.xen}"]
        if self.release.name != self.release.xen:
            words.append(f"of {self.release.name}")
        if self.xenstored == "c":
            words.append("with xenstored in C")
        if self.dom0 == "pvh":
            words.append("with a PVH dom0")
        return " ".join(words)


RELEASES: Final = {
    release.name: release
    for release in (
        # The lab's own programs want a newer Python than Debian 11's.
        Release(
            "4.14", "4.14", "bullseye", "bookworm",
            laid_over=("xen-utils-4.14", "libxenmisc4.14", "libxenstore3.0"),
        ),
        Release("4.17", "4.17", "bookworm", "bookworm"),
        Release("4.20", "4.20", "trixie", "trixie"),
        Release("sid", "4.20", "sid", "sid"),
    )
}  # fmt: skip
MAIN: Final = "4.17"
"""The host of every scenario that names none."""
HOSTS: Final = {
    host.name: host
    for host in (
        *(Host(name, release) for name, release in RELEASES.items()),
        Host("4.17-c", RELEASES["4.17"], xenstored="c"),
        Host("4.20-c", RELEASES["4.20"], xenstored="c"),
        Host("4.20-pvh", RELEASES["4.20"], dom0="pvh"),
    )
}
