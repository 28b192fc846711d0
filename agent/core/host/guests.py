# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of a host as dom0 sees them: what the toolstack says, and what each guest claims.

The two are never mixed: whatever a guest has written below data/balloon is its own word, bounded
by what its host has given it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple

from agent.core.facts.bounds import LARGEST_KIB
from agent.core.facts.units import MIB_KIB, format_kib

Life = Literal["running", "paused", "dying", "shut down", "crashed", "gone"]
Kind = Literal["agent", "old agent", "stopped agent", "no agent", "unreadable"]

_SLACK_KIB: Final = 16 * MIB_KIB  # what a guest's count may be above its maximum: video memory
# What the hypervisor may count more than the guest's kernel: video memory and firmware (at most
# 23 MiB on the guests of tests/captures), and what moved between the two looks.
_COUNTED_APART_KIB: Final = 64 * MIB_KIB
WORD_CHARS: Final = 40


class Claims(NamedTuple):
    """What a guest wrote of itself, as far as it makes sense; None where it does not.

    Attributes:
        host_target_kib: `memory/target` as the guest has heard it.
        spare_kib: what it could give and go on as it does.
        odd: which of its keys made no sense, with the reason, each in one printable line.
    """

    state: str | None = None
    pressure: str | None = None
    mode: str | None = None
    version: str | None = None
    finding: str | None = None
    seq: int | None = None
    host_target_kib: int | None = None
    target_kib: int | None = None
    actual_kib: int | None = None
    floor_kib: int | None = None
    spare_kib: int | None = None
    available_kib: int | None = None
    odd: tuple[str, ...] = ()


class Guest(NamedTuple):
    """One domain.

    Attributes:
        has_kib: what the hypervisor says it has; None where nobody could be asked.
        static_max_kib, target_kib, videoram_kib: what the toolstack wrote.
        problem: why its keys could not be read, if they could not.
    """

    domid: int
    name: str | None = None
    uuid: str | None = None
    target_kib: int | None = None
    static_max_kib: int | None = None
    videoram_kib: int = 0
    uncooperative: bool = False
    has_kib: int | None = None
    life: Life = "running"
    claims: Claims = Claims()
    problem: str | None = None

    @property
    def kind(self) -> Kind:
        """What can be known of it, and from whom."""
        if self.problem is not None:
            return "unreadable"
        if self.claims.state is None:
            return "no agent"
        if self.claims.state == "stopped":
            return "stopped agent"
        return "old agent" if self._said_spare_kib is None else "agent"

    @property
    def actual_kib(self) -> int | None:
        """What it has: the hypervisor's word before its own; never what it was only asked for."""
        return self.has_kib if self.has_kib is not None else self.claims.actual_kib

    @property
    def spare_kib(self) -> int | None:
        """What it says it could give, no more than it has; None where the count shows a lie."""
        return None if self._is_contradicted else self._at_most_what_it_has(self._said_spare_kib)

    @property
    def available_kib(self) -> int | None:
        """MemAvailable as it says, and no more than the hypervisor counts."""
        return self._at_most_what_it_has(self.claims.available_kib)

    def _at_most_what_it_has(self, kib: int | None) -> int | None:
        return kib if kib is None or self.has_kib is None else min(kib, self.has_kib)

    @property
    def _said_spare_kib(self) -> int | None:
        """Its word; an older agent that holds a floor says it by that."""
        claims = self.claims
        if claims.spare_kib is not None:
            return claims.spare_kib
        if claims.floor_kib is None or claims.actual_kib is None:
            return None
        return max(0, claims.actual_kib - claims.floor_kib)

    @property
    def asked_kib(self) -> int | None:
        """What the toolstack asked it to have, video memory included, as `xl mem-set` counts."""
        return None if self.target_kib is None else self.target_kib + self.videoram_kib

    @property
    def is_short(self) -> bool:
        """Whether it says that it has next to nothing left."""
        return self.claims.pressure in ("some", "full")

    @property
    def is_stuck(self) -> bool:
        """Whether its balloon does not get where the host wants it."""
        return self.claims.state in ("retrying", "cancelled", "unreachable")

    @property
    def is_silent(self) -> bool:
        """Whether its agent has not heard what it was last asked for: it hangs, or it is gone.

        For a moment after each change that is so of every agent.
        """
        heard_kib = self.claims.host_target_kib
        known = heard_kib is not None and self.target_kib is not None
        return known and self.life == "running" and heard_kib != self.target_kib

    @property
    def doubts(self) -> tuple[str, ...]:
        """What it says of itself that cannot be, each in one printable line."""
        if not self._is_contradicted:
            return self.claims.odd
        said, counted = format_kib(self.claims.actual_kib or 0), format_kib(self.has_kib or 0)
        return (*self.claims.odd, f"actual_kb is {said}, the hypervisor counts {counted}")

    @property
    def _is_contradicted(self) -> bool:
        """Whether it says that it rests at a size which the hypervisor does not count."""
        said_kib, has_kib = self.claims.actual_kib, self.has_kib
        if said_kib is None or has_kib is None or self.claims.state != "settled":
            return False
        above_kib = said_kib - has_kib
        return not -_COUNTED_APART_KIB - self.videoram_kib <= above_kib <= _COUNTED_APART_KIB

    @property
    def is_held(self) -> bool:
        """Whether it holds more than the host asks for, because it needs it."""
        floor_kib, asked_kib = self.claims.floor_kib, self.claims.host_target_kib
        return floor_kib is not None and asked_kib is not None and asked_kib < floor_kib


class Hypervisor(NamedTuple):
    """What xl tells of the whole host; None where it could not be asked."""

    total_kib: int | None = None
    free_kib: int | None = None
    dom0_kib: int | None = None


class Host(NamedTuple):
    """One look at all of them.

    Attributes:
        problem: why the hypervisor could not be asked, if it could not.
        missing: the words of those asked for that fit no guest now.
    """

    hypervisor: Hypervisor
    guests: tuple[Guest, ...]
    problem: str | None = None
    missing: tuple[str, ...] = ()

    @property
    def has_kib(self) -> int:
        """What all guests together have, as far as it is known."""
        return sum(guest.actual_kib or 0 for guest in self.guests)

    @property
    def spare_kib(self) -> int:
        """What they say they could give together."""
        return sum(guest.spare_kib or 0 for guest in self.guests if not guest.is_short)


def bounded(claims: Claims, static_max_kib: int | None) -> Claims:
    """Claims without the figures that cannot be: nobody has more than his host gives him."""
    most_kib = min(LARGEST_KIB, (static_max_kib or LARGEST_KIB) + _SLACK_KIB)
    for name in ("host_target_kib", "target_kib", "actual_kib", "floor_kib", "spare_kib",
                 "available_kib"):  # fmt: skip
        value: int | None = getattr(claims, name)
        limit_kib, of = most_kib, "its maximum"
        if name in ("spare_kib", "available_kib") and claims.actual_kib is not None:
            limit_kib, of = claims.actual_kib, "it has"
        if value is not None and value > limit_kib:
            odd = f"{name.replace('_kib', '_kb')} is more than {of}"
            claims = claims._replace(odd=(*claims.odd, odd), **{name: None})
    return claims


def selected(
    guests: Iterable[Guest], wanted: Iterable[str], *, patterns: bool = False
) -> tuple[tuple[Guest, ...], list[str]]:
    """The guests of these names or numbers, all without any; and the words that fit none.

    With `patterns`, a word that is nobody's name or number may be one, as a shell's (`web-*`).
    """
    guests, words = tuple(guests), tuple(wanted)
    if not words:
        return guests, []
    of_word = {word: _of_word(guests, word, patterns=patterns) for word in words}
    found = {guest.domid for some in of_word.values() for guest in some}
    return (
        tuple(guest for guest in guests if guest.domid in found),
        [word for word, some in of_word.items() if not some],
    )


def _of_word(guests: Iterable[Guest], word: str, *, patterns: bool) -> list[Guest]:
    """As xl finds a domain: a number is one, whoever is called like that."""
    numbered = [guest for guest in guests if word == str(guest.domid)]
    named = numbered or [guest for guest in guests if word == guest.name]
    if named or not patterns:
        return named
    return [guest for guest in guests if guest.name and fnmatchcase(guest.name, word)]


_TROUBLES: Final[tuple[tuple[Callable[[Guest], bool], str, str], ...]] = (
    (lambda guest: guest.is_short, "lacks memory", "lack memory"),
    (lambda guest: guest.is_stuck, "is stuck", "are stuck"),
    (lambda guest: guest.is_silent, "does not answer", "do not answer"),
    (lambda guest: bool(guest.doubts), "says what cannot be", "say what cannot be"),
    (lambda guest: guest.kind == "unreadable", "cannot be read", "cannot be read"),
)
"""What somebody should look at, in the words for one guest and for several."""


def sentence(host: Host) -> str:
    """What all have, what they could give without hurting, and who lacks what."""
    guests = host.guests
    missing = f"{listing(host.missing)} {'is' if len(host.missing) == 1 else 'are'} not there"
    if not guests:
        return f"{missing}." if host.missing else "There are no guests."
    count = "The guest has" if len(guests) == 1 else f"The {len(guests)} guests have"
    text = f"{count} {format_kib(host.has_kib)}"
    if any(guest.spare_kib is not None for guest in guests):
        text += f" and could give {format_kib(host.spare_kib)} without hurting"
    for is_so, one, many in _TROUBLES:
        names = [label(guest) for guest in guests if is_so(guest)]
        if names:
            text += f"; {listing(names)} {one if len(names) == 1 else many}"
    mute = sum(guest.kind in ("no agent", "stopped agent") for guest in guests)
    if mute:
        text += f"; {mute} {'has' if mute == 1 else 'have'} no agent that runs"
    if host.missing:
        text += f"; {missing}"
    return text + "."


def verdict(host: Host) -> str:
    """ok; warning where somebody should look at a guest."""
    trouble = host.missing or any(is_in_trouble(guest) for guest in host.guests)
    return "warning" if trouble else "ok"


def is_in_trouble(guest: Guest) -> bool:
    """Whether somebody should look at it."""
    return any(is_so(guest) for is_so, _, _ in _TROUBLES)


def label(guest: Guest) -> str:
    """Its name, or its number where it has none."""
    return guest.name or f"domain {guest.domid}"


def listing(names: Sequence[str], most: int = 4) -> str:
    """A few names and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return "".join(names) if len(names) < 2 else f"{', '.join(names[:-1])} and {names[-1]}"
