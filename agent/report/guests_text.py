# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen of `guests`: a sentence, a picture of the host, a row for each guest.

● OK: The 3 guests have 1.5 GiB and could give 412 MiB without hurting.

████████████████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒······················
█ dom0 1 GiB   ▒ guests 1.5 GiB   · free 1.47 GiB

 ID  name  has      target   maximum  floor    could give  state    pressure  agent
  1  db    512 MiB  512 MiB  1 GiB    -        91.5 MiB    settled  none      1.0.0
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.units import format_kib
from agent.core.host.guests import Guest, Host, is_in_trouble, label, sentence, verdict
from agent.report.picture import Part, parts_picture
from agent.report.styled import Line, Span, cut, line, wrapped
from agent.report.top import judged_lines

_LONGEST_NAME: Final = 24
_LONGEST_VERSION: Final = 12  # a guest's own word, which must not widen the rows of others
_HEADS: Final = (
    "ID", "name", "has", "target", "maximum", "floor", "could give", "state", "pressure", "agent",
)  # fmt: skip
_RIGHT: Final = frozenset({"ID", "has", "target", "maximum", "floor", "could give"})
_GAPS: Final = ("  ", " ")
# What a narrow screen goes without, first to last; who is short is in the sentence, too.
_DISPENSABLE: Final = ("agent", "floor", "maximum", "pressure", "target", "could give", "state")


def guests_lines(host: Host, width: int) -> list[Line]:
    """The whole screen."""
    lines = judged_lines(verdict(host), sentence(host), width)
    picture = host_picture(host, width)
    lines += [(), *picture] if picture else []
    if host.guests:
        lines += [(), *_table(host.guests, width)]
    remarks = [remark for guest in host.guests for remark in _remarks(guest)]
    if host.problem:
        remarks.insert(
            0, f"xl could not be asked: {host.problem}. What a guest has is its own word."
        )
    lines += [()] if remarks else []
    for remark in remarks:
        lines += wrapped(remark, width, style="info")
    return lines


def host_picture(host: Host, width: int) -> list[Line]:
    """Dom0, the guests and what nobody has; nothing where the hypervisor could not be asked."""
    hypervisor = host.hypervisor
    if hypervisor.free_kib is None or hypervisor.dom0_kib is None:
        return []
    parts = [
        Part("dom0", hypervisor.dom0_kib, "█", "populated"),
        Part("guests", host.has_kib, "▒", "ballooned"),
        Part("free", hypervisor.free_kib, "·", "dim"),
    ]
    return parts_picture([part for part in parts if part.kib > 0], width)


def _cells(guest: Guest) -> tuple[str, ...]:
    claims = guest.claims
    state = claims.state or guest.kind
    if guest.life != "running":
        state = guest.life
    elif guest.is_silent:
        state = "silent"
    elif guest.is_held:
        state = "held"
    return (
        str(guest.domid),
        cut(label(guest), _LONGEST_NAME),
        _size(guest.actual_kib),
        _size(guest.asked_kib),
        _size(guest.static_max_kib),
        _size(claims.floor_kib),
        _size(guest.spare_kib),
        state,
        claims.pressure or "-",
        cut(claims.version or "-", _LONGEST_VERSION),
    )


def _table(guests: tuple[Guest, ...], width: int) -> list[Line]:
    """Columns as wide as what is in them; a row in trouble in the colour of its trouble."""
    rows = [dict(zip(_HEADS, cells)) for cells in (_HEADS, *map(_cells, guests))]
    widths = {head: max(len(row[head]) for row in rows) for head in _HEADS}
    gap = _fitted(widths, width)
    styles = ["heading", *("warning" if is_in_trouble(guest) else "" for guest in guests)]
    return [line(Span(_row(row, widths, gap), style)) for row, style in zip(rows, styles)]


def _fitted(widths: dict[str, int], width: int) -> str:
    """What is between two columns; columns that a screen has no place for are taken out."""
    for dispensable in (None, *_DISPENSABLE):
        if dispensable is not None:
            del widths[dispensable]
        for gap in _GAPS:
            if sum(widths.values()) + len(gap) * (len(widths) - 1) <= width:
                return gap
    return _GAPS[-1]


def _row(cells: dict[str, str], widths: dict[str, int], gap: str) -> str:
    """The cells of the columns that are shown."""
    padded = [
        cells[head].rjust(columns) if head in _RIGHT else cells[head].ljust(columns)
        for head, columns in widths.items()
    ]
    return gap.join(padded).rstrip()


def _remarks(guest: Guest) -> list[str]:
    """What does not fit into a row."""
    name, found = cut(label(guest), _LONGEST_NAME), []
    if guest.problem is not None:
        found.append(f"{name}: its keys cannot be read: {guest.problem}.")
    if guest.claims.finding is not None and (guest.is_stuck or guest.is_short):
        found.append(f"{name}: says {guest.claims.finding}; run balloon-agent doctor there.")
    if guest.uncooperative:
        found.append(f"{name}: the toolstack calls it uncooperative.")
    if guest.is_silent:
        asked = _size(guest.target_kib)
        found.append(f"{name}: its agent has not heard of its target, {asked}: does it run?")
    if guest.life == "dying" and guest.actual_kib:
        found.append(f"{name}: it is gone, but others still use {_size(guest.actual_kib)} of it.")
    if guest.doubts:
        first, *others = guest.doubts
        more = f", and {len(others)} more" if others else ""
        found.append(f"{name}: what it says cannot be: {first}{more}.")
    return found


def _size(kib: int | None) -> str:
    return "-" if kib is None else format_kib(kib)
