# SPDX-License-Identifier: GPL-2.0-or-later
"""All guests of this host, from xenstore as dom0 sees it.

    /local/domain/5/name                    "db"            the toolstack's
    /local/domain/5/memory/target           "524288"        the toolstack's
    /local/domain/5/data/balloon/spare_kb   "91136"         the guest's own word

Only keys that are known are asked for: a guest with a thousand others costs no more than any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from agent.core.facts.bounds import LARGEST_DOMID
from agent.core.facts.numbers import (
    LARGEST_SIGNED,
    MalformedError,
    excerpt,
    is_digits,
    key_decimal,
    key_kib,
)
from agent.core.host.guests import WORD_CHARS, Claims, Guest, bounded
from agent.sources.host_keys import vm_uuid
from agent.sources.outcome import ABSENT, OK, Outcome, parsed
from agent.sources.xenstore.errors import KeyAbsent

if TYPE_CHECKING:
    from agent.sources.xenstore.pyxs_client import StoreClient

_DOMAINS: Final = "/local/domain"
_STATE: Final = "data/balloon/state"
OF_HOST: Final = ("name", "vm", "memory/target", "memory/static-max", "memory/videoram",
                   "memory/uncooperative", _STATE)  # fmt: skip
_FIGURES: Final = ("host_target_kb", "target_kb", "actual_kb", "floor_kb", "spare_kb",
                   "available_kb")  # fmt: skip
_WORDS: Final[Mapping[str, re.Pattern[bytes]]] = {
    "state": re.compile(rb"settled|moving|retrying|cancelled|unreachable|absent|unclear|stopped"),
    "pressure": re.compile(rb"none|some|full|unknown"),
    "mode": re.compile(rb"observe|follow|guard|self"),
    "version": re.compile(rb"[0-9A-Za-z][0-9A-Za-z.+~-]{0,39}"),
    "finding": re.compile(rb"[a-z0-9][a-z0-9-]{0,39}"),
}
_OF_GUEST: Final = (*_FIGURES, "seq", *(word for word in _WORDS if word != "state"))
_NAME_CHARS: Final = 64


def read_guests(store: StoreClient) -> tuple[Guest, ...]:
    """Every domain but dom0, by number; raises XenstoreError when nothing can be read."""
    return tuple(guest for guest in _read(store, _numbers(store)) if _is_there(guest))


def read_names(store: StoreClient) -> list[str]:
    """The name of every guest that has one, by number; raises XenstoreError."""
    found = store.read_each([f"{_DOMAINS}/{domid}/name" for domid in _numbers(store)])
    return [name for name in (_name(one.value) for one in found) if name]


def read_guest(store: StoreClient, domid: int) -> Guest | None:
    """One guest as it is at this moment; None where it is gone.  Raises XenstoreError."""
    (guest,) = store.at_one_moment(lambda: _read(store, [domid]))
    return guest if _is_there(guest) else None


def _numbers(store: StoreClient) -> list[int]:
    """Every domain but dom0."""
    try:
        names = store.list(_DOMAINS)
    except KeyAbsent:
        return []
    return sorted(int(name) for name in names if _is_guest(name))


def _is_there(guest: Guest) -> bool:
    """Whether anything is left of it: it may go between two readings."""
    return (guest.name, guest.uuid, guest.target_kib, guest.problem) != (None,) * 4


def claims_in(read: Mapping[str, Outcome[bytes]]) -> Claims:
    """What a guest wrote below data/balloon: bounded, checked, and what is odd about it; total."""
    words: dict[str, str] = {}
    numbers: dict[str, int] = {}
    odd: list[str] = []
    for key, found in read.items():
        raw = found.value
        if raw is None:
            odd += [] if found.status == ABSENT else [f"{key}: {found.status}"[:200]]
        elif key in _WORDS:
            if _WORDS[key].fullmatch(raw):
                words[key] = raw.decode("ascii")
            else:
                odd.append(f"{key} is {excerpt(raw)}")
        else:
            try:
                numbers[key.replace("_kb", "_kib")] = _claimed(key, raw)
            except MalformedError as error:
                odd.append(f"{key}: {error}")
    if words.get("state") is None and (words or numbers or odd):
        words["state"] = "unclear"  # there is an agent, of which nothing else is known
    return Claims(**words, **numbers, odd=tuple(odd))  # type: ignore[arg-type]


def _is_guest(name: str) -> bool:
    return is_digits(name, 5) and 0 < int(name) <= LARGEST_DOMID


def _read(store: StoreClient, numbers: Sequence[int]) -> tuple[Guest, ...]:
    """What the toolstack says of each first, then of those that have an agent what they say."""
    found = _each(store, numbers, OF_HOST)
    speak = [domid for domid in numbers if found[domid][_STATE].status != ABSENT]
    claimed = _each(store, speak, [f"data/balloon/{key}" for key in _OF_GUEST])
    guests = []
    for domid in numbers:
        keys = {**claimed.get(domid, {}), _STATE: found[domid][_STATE]}
        claims = claims_in({key.rpartition("/")[2]: read for key, read in keys.items()})
        guests.append(a_guest_of(domid, found[domid], claims))
    return tuple(guests)


def _each(
    store: StoreClient, numbers: Sequence[int], keys: Sequence[str]
) -> dict[int, dict[str, Outcome[bytes]]]:
    paths = [f"{_DOMAINS}/{domid}/{key}" for domid in numbers for key in keys]
    answers: Iterator[Outcome[bytes]] = iter(store.read_each(paths))
    return {domid: {key: next(answers) for key in keys} for domid in numbers}


def a_guest_of(domid: int, keys: Mapping[str, Outcome[bytes]], claims: Claims) -> Guest:
    """A guest from what the toolstack wrote (`OF_HOST`), and what it claims."""
    static_max_kib = _kib(keys["memory/static-max"])
    refused = [read.status for read in keys.values() if read.status not in (OK, ABSENT)]
    return Guest(
        domid=domid,
        name=_name(keys["name"].value),
        uuid=vm_uuid(keys["vm"].value),
        target_kib=_kib(keys["memory/target"]),
        static_max_kib=static_max_kib,
        videoram_kib=_kib(keys["memory/videoram"]) or 0,  # -1 of a PV guest is none
        uncooperative=keys["memory/uncooperative"].value is not None,
        claims=bounded(claims, static_max_kib),
        problem=refused[0] if refused else None,
    )


def _claimed(key: str, raw: bytes) -> int:
    if key != "seq":
        return key_kib(raw)
    number = key_decimal(raw)
    if number > LARGEST_SIGNED:
        raise MalformedError("too large")
    return number


def _kib(read: Outcome[bytes]) -> int | None:
    return parsed(read, key_kib).value


def _name(raw: bytes | None) -> str | None:
    """A name that a terminal survives, whatever somebody called the domain."""
    if raw is None:
        return None
    text = raw[:_NAME_CHARS].decode("utf-8", "backslashreplace")
    return text if text.isprintable() else excerpt(raw)[: WORD_CHARS + 40]
