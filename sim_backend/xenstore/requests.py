# SPDX-License-Identifier: GPL-2.0-or-later
"""What each request of the wire means: its payload taken apart, and the answer put together."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Optional

from sim_backend.xenstore import packets
from sim_backend.xenstore.errors import XenstoreError
from sim_backend.xenstore.names import domain_path
from sim_backend.xenstore.packets import PAYLOAD_MAX, Packet, join_strings, split_strings
from sim_backend.xenstore.session import Session
from sim_backend.xenstore.store import Store

OK: Final = b"OK\0"
DOMID_SELF: Final = 0x7FF0

_NUMBER = re.compile(r"[ \t]*([+-]?[0-9]+)", re.ASCII)

Handler = Callable[[Store, Session, Packet], Optional[bytes]]
"""What the answer carries; None where it is OK."""


def answer(store: Store, session: Session, packet: Packet) -> bytes:
    """Serve any request but WATCH, whose answer goes between watch and event.

    Raises:
        XenstoreError: refused; ENOSYS, there is no such request.
    """
    handler = _HANDLERS.get(packet.kind)
    if handler is None:
        raise XenstoreError("ENOSYS")
    if packet.kind in _FOR_DOM0 and not session.privileged:
        raise XenstoreError("EACCES")
    tx = 0 if packet.kind == packets.UNWATCH else packet.transaction
    if tx and not session.has_transaction(tx):
        raise XenstoreError("ENOENT")
    payload = handler(store, session, packet)
    if payload is None:
        return OK
    if len(payload) > PAYLOAD_MAX:
        raise XenstoreError("E2BIG")
    return payload


def two_arguments(packet: Packet) -> tuple[str, str]:
    """Path and token of WATCH and UNWATCH, path and offset of DIRECTORY_PART."""
    strings = split_strings(packet.payload)
    if len(strings) != 2:
        raise XenstoreError("EINVAL")
    return strings[0], strings[1]


def _only_argument(packet: Packet) -> str:
    """The payload as one string with the one NUL at its end."""
    if packet.payload.find(b"\0") != len(packet.payload) - 1 or not packet.payload:
        raise XenstoreError("EINVAL")
    return packet.payload[:-1].decode("latin-1")


def _number(text: str) -> int:
    """As C's atoi: the leading digits, 0 without any."""
    match = _NUMBER.match(text)
    return int(match[1]) if match else 0


def _directory(_store: Store, session: Session, packet: Packet) -> bytes:
    return join_strings(session.read(_only_argument(packet), packet.transaction).children)


def _directory_part(_store: Store, session: Session, packet: Packet) -> bytes:
    path, digits = two_arguments(packet)
    directory = session.read(path, packet.transaction)
    offset = _number(digits)
    head = f"{directory.generation}\0".encode()
    rest = join_strings(directory.children)[offset:] if offset >= 0 else b""
    room = PAYLOAD_MAX - len(head) - 1
    if len(rest) <= room:
        return head + rest + b"\0"
    return head + rest[: rest.rfind(b"\0", 0, room) + 1]


def _read(_store: Store, session: Session, packet: Packet) -> bytes:
    return session.read(_only_argument(packet), packet.transaction).value


def _get_perms(_store: Store, session: Session, packet: Packet) -> bytes:
    node = session.read(_only_argument(packet), packet.transaction)
    return join_strings([str(entry) for entry in node.permissions])


def _set_perms(_store: Store, session: Session, packet: Packet) -> None:
    strings = split_strings(packet.payload)
    if len(strings) < 2:
        raise XenstoreError("EINVAL")
    session.set_perms(strings[0], strings[1:], packet.transaction)


def _unwatch(_store: Store, session: Session, packet: Packet) -> None:
    session.unwatch(*two_arguments(packet))


def _transaction_start(_store: Store, session: Session, packet: Packet) -> bytes:
    if packet.transaction:
        raise XenstoreError("EBUSY")
    return f"{session.begin()}\0".encode()


def _transaction_end(_store: Store, session: Session, packet: Packet) -> None:
    argument = _only_argument(packet)
    if argument not in {"T", "F"}:
        raise XenstoreError("EINVAL")
    session.end(packet.transaction, commit=argument == "T")


def _write(_store: Store, session: Session, packet: Packet) -> None:
    path, nul, value = packet.payload.partition(b"\0")
    if not nul:
        raise XenstoreError("EINVAL")
    session.write(path.decode("latin-1"), value, packet.transaction)


def _mkdir(_store: Store, session: Session, packet: Packet) -> None:
    session.mkdir(_only_argument(packet), packet.transaction)


def _rm(_store: Store, session: Session, packet: Packet) -> None:
    session.rm(_only_argument(packet), packet.transaction)


def _introduce(store: Store, _session: Session, packet: Packet) -> None:
    strings = split_strings(packet.payload)
    if len(strings) < 3 or _number(strings[2]) <= 0:
        raise XenstoreError("EINVAL")
    store.introduce(_number(strings[0]))


def _domain_argument(store: Store, packet: Packet) -> int:
    domid = _number(_only_argument(packet))
    if not domid:
        raise XenstoreError("EINVAL")
    if not store.is_introduced(domid):
        raise XenstoreError("ENOENT")
    return domid


def _release(store: Store, _session: Session, packet: Packet) -> None:
    domid = _domain_argument(store, packet)
    store.remove_domain(domid)
    store.create_domain(domid)  # Xen still has it


def _resume(store: Store, _session: Session, packet: Packet) -> None:
    _domain_argument(store, packet)


def _set_target(store: Store, _session: Session, packet: Packet) -> None:
    strings = split_strings(packet.payload)
    if len(strings) < 2:
        raise XenstoreError("EINVAL")
    domid, target = _number(strings[0]), _number(strings[1])
    if not (store.is_introduced(domid) and store.is_introduced(target)):
        raise XenstoreError("ENOENT")
    store.domains[domid].target = target


def _get_domain_path(_store: Store, _session: Session, packet: Packet) -> bytes:
    domid = _number(_only_argument(packet)) & 0xFFFFFFFF
    return f"{domain_path(domid)}\0".encode()


def _is_domain_introduced(store: Store, _session: Session, packet: Packet) -> bytes:
    domid = _number(_only_argument(packet))
    return b"T\0" if domid == DOMID_SELF or store.is_introduced(domid) else b"F\0"


def _reset_watches(_store: Store, session: Session, _packet: Packet) -> None:
    session.reset()


def _control(store: Store, _session: Session, packet: Packet) -> bytes | None:
    """`check` and `quota [DOMID]`; the real daemon has more."""
    strings = split_strings(packet.payload)
    if strings[:1] == ["check"]:
        store.check()
        return None
    if strings[:1] == ["quota"] and len(strings) == 2:
        domain = store.domains.get(_number(strings[1]))
        if domain is None:
            raise XenstoreError("ENOENT")
        used = {
            "nodes": domain.nodes,
            "watches": domain.watches,
            "transactions": domain.transactions,
        }
        lines = "".join(f"{name:<16}: {count:8}\n" for name, count in used.items())
        return f"Domain {domain.domid}:\n{lines}\0".encode()
    raise XenstoreError("EINVAL")


_FOR_DOM0: Final[dict[int, Handler]] = {
    packets.CONTROL: _control,
    packets.INTRODUCE: _introduce,
    packets.RELEASE: _release,
    packets.IS_DOMAIN_INTRODUCED: _is_domain_introduced,
    packets.RESUME: _resume,
    packets.SET_TARGET: _set_target,
}
_HANDLERS: Final[dict[int, Handler]] = {
    **_FOR_DOM0,
    packets.DIRECTORY: _directory,
    packets.READ: _read,
    packets.GET_PERMS: _get_perms,
    packets.UNWATCH: _unwatch,
    packets.TRANSACTION_START: _transaction_start,
    packets.TRANSACTION_END: _transaction_end,
    packets.GET_DOMAIN_PATH: _get_domain_path,
    packets.WRITE: _write,
    packets.MKDIR: _mkdir,
    packets.RM: _rm,
    packets.SET_PERMS: _set_perms,
    packets.RESET_WATCHES: _reset_watches,
    packets.DIRECTORY_PART: _directory_part,
}
