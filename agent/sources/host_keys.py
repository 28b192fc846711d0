# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host says of this domain in xenstore: memory/* and who it is.

    memory/target 524288    memory/static-max 1048576    memory/videoram 0 (or -1)
    name guest1             domid 5                      vm /vm/d4352faf-853e-...

docs/misc/xenstore-paths.pandoc.  Values in decimal KiB.  In dom0 there is no memory/target until
a toolstack writes one.

Relies on docs/design.md A19.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.core.facts import host_keys
from agent.core.facts.bounds import LARGEST_DOMID
from agent.core.facts.numbers import excerpt, key_decimal
from agent.core.facts.pattern import Pattern
from agent.core.facts.snapshot import HostMemoryKeys, Toolstack
from agent.sources.outcome import ABSENT, OK, Outcome, Statuses, parsed
from agent.sources.xenstore.key_store import KeyStore

_UUID = Pattern(r"/vm/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


class HostFacts(NamedTuple):
    """Everything read from xenstore."""

    memory: HostMemoryKeys
    toolstack: Toolstack | None
    name: str | None
    domid: int | None
    uuid: str | None


def read_host(store: KeyStore) -> tuple[HostFacts, dict[str, str]]:
    """What the host says of this domain, and what became of each key."""
    present = store.names("memory")
    names = present.value or ()
    numbers: dict[str, int] = {}
    statuses = Statuses()
    target_text: str | None = None
    for name, field in host_keys.NUMBERS.items():
        if present.value is not None and name not in names:
            statuses[f"xenstore.memory/{name}"] = ABSENT
            continue
        raw = store.read(f"memory/{name}")
        number = statuses.take(f"xenstore.memory/{name}", parsed(raw, host_keys.parser_of(name)))
        if number is not None:
            numbers.setdefault(field, number)
        elif raw.value is not None and name == "target":
            target_text = excerpt(raw.value)
    who = {key: store.read(key) for key in ("name", "domid", "vm")}
    statuses |= {f"xenstore.{key}": outcome.status for key, outcome in who.items()}
    reachable = OK in (present.status, *(outcome.status for outcome in who.values()))
    statuses["xenstore"] = OK if reachable else present.status
    facts = HostFacts(
        memory=HostMemoryKeys(
            **numbers, target_text=target_text, uncooperative="uncooperative" in names
        ),
        toolstack=_toolstack(names),
        name=_text(who["name"].value),
        domid=_domid(who["domid"]),
        uuid=vm_uuid(who["vm"].value),
    )
    return facts, dict(statuses)  # the daemon hands it on over its rest


def _toolstack(memory_names: tuple[str, ...]) -> Toolstack | None:
    """Who wrote these keys; each toolstack has some that no other writes."""
    names = frozenset(memory_names)
    if names & {"hotplug-max", "meminfo"}:
        return "qubes"
    if names & {"dynamic-min", "dynamic-max", "initial-target", "memory-offset"}:
        return "xapi"
    if "memory_static_max" in names:
        return "xend"
    return "libxl" if names & {"static-max", "videoram"} else None


def _text(raw: bytes | None) -> str | None:
    """A name as printable text: a terminal must survive whatever the host put there."""
    if raw is None:
        return None
    text = raw[:255].decode("utf-8", "backslashreplace")
    return text if text.isprintable() else excerpt(raw)


def _domid(read: Outcome[bytes]) -> int | None:
    number = parsed(read, key_decimal).value
    return number if number is not None and number <= LARGEST_DOMID else None


def vm_uuid(raw: bytes | None) -> str | None:
    """The UUID in the value of a domain's key `vm`."""
    match = _UUID.fullmatch(_text(raw) or "")
    return match.group(1) if match else None
