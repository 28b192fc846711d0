# SPDX-License-Identifier: GPL-2.0-or-later
"""What each request of the wire means: its payload taken apart, and the answer put together."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sim_backend.xenstore import packets
from sim_backend.xenstore.errors import XenstoreError
from sim_backend.xenstore.names import domain_path
from sim_backend.xenstore.packets import PAYLOAD_MAX, Packet, join_strings, split_strings
from sim_backend.xenstore.session import Session
from sim_backend.xenstore.store import Store

OK: Final = b"OK\0"
DOMID_SELF: Final = 0x7FF0

_NUMBER = re.compile(r"[ \t]*([+-]?[0-9]+)", re.ASCII)

Handler = Callable[[Store, Session, Packet], bytes]


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
    tx = 0 if packet.kind in _OUTSIDE else packet.transaction
    if tx and not session.has_transaction(tx):
        raise XenstoreError("ENOENT")
    payload = handler(store, session, packet)
    if len(payload) > PAYLOAD_MAX:
        raise XenstoreError("E2BIG")
    return payload


def watch_arguments(packet: Packet) -> tuple[str, str]:
    """Path and token of WATCH and UNWATCH."""
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
    strings = split_strings(packet.payload)
    if len(strings) != 2:
        raise XenstoreError("EINVAL")
    directory = session.read(strings[0], packet.transaction)
    offset = _number(strings[1])
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


def _set_perms(_store: Store, session: Session, packet: Packet) -> bytes:
    strings = split_strings(packet.payload)
    if len(strings) < 2:
        raise XenstoreError("EINVAL")
    session.set_perms(strings[0], strings[1:], packet.transaction)
    return OK


def _unwatch(_store: Store, session: Session, packet: Packet) -> bytes:
    session.unwatch(*watch_arguments(packet))
    return OK


def _transaction_start(_store: Store, session: Session, packet: Packet) -> bytes:
    if packet.transaction:
        raise XenstoreError("EBUSY")
    return f"{session.begin()}\0".encode()


def _transaction_end(_store: Store, session: Session, packet: Packet) -> bytes:
    argument = _only_argument(packet)
    if argument not in {"T", "F"}:
        raise XenstoreError("EINVAL")
    session.end(packet.transaction, commit=argument == "T")
    return OK


def _write(_store: Store, session: Session, packet: Packet) -> bytes:
    path, nul, value = packet.payload.partition(b"\0")
    if not nul:
        raise XenstoreError("EINVAL")
    session.write(path.decode("latin-1"), value, packet.transaction)
    return OK


def _mkdir(_store: Store, session: Session, packet: Packet) -> bytes:
    session.mkdir(_only_argument(packet), packet.transaction)
    return OK


def _rm(_store: Store, session: Session, packet: Packet) -> bytes:
    session.rm(_only_argument(packet), packet.transaction)
    return OK


def _introduce(store: Store, _session: Session, packet: Packet) -> bytes:
    strings = split_strings(packet.payload)
    if len(strings) < 3 or _number(strings[2]) <= 0:
        raise XenstoreError("EINVAL")
    store.introduce(_number(strings[0]))
    return OK


def _domain_argument(store: Store, packet: Packet) -> int:
    domid = _number(_only_argument(packet))
    if not domid:
        raise XenstoreError("EINVAL")
    if not store.is_introduced(domid):
        raise XenstoreError("ENOENT")
    return domid


def _release(store: Store, _session: Session, packet: Packet) -> bytes:
    domid = _domain_argument(store, packet)
    store.remove_domain(domid)
    store.create_domain(domid)  # Xen still has it
    return OK


def _resume(store: Store, _session: Session, packet: Packet) -> bytes:
    _domain_argument(store, packet)
    return OK


def _set_target(store: Store, _session: Session, packet: Packet) -> bytes:
    strings = split_strings(packet.payload)
    if len(strings) < 2:
        raise XenstoreError("EINVAL")
    domid, target = _number(strings[0]), _number(strings[1])
    if not (store.is_introduced(domid) and store.is_introduced(target)):
        raise XenstoreError("ENOENT")
    store.domains[domid].target = target
    return OK


def _get_domain_path(_store: Store, _session: Session, packet: Packet) -> bytes:
    domid = _number(_only_argument(packet)) & 0xFFFFFFFF
    return f"{domain_path(domid)}\0".encode()


def _is_domain_introduced(store: Store, _session: Session, packet: Packet) -> bytes:
    domid = _number(_only_argument(packet))
    return b"T\0" if domid == DOMID_SELF or store.is_introduced(domid) else b"F\0"


def _reset_watches(_store: Store, session: Session, _packet: Packet) -> bytes:
    session.reset()
    return OK


def _control(store: Store, _session: Session, packet: Packet) -> bytes:
    """`check` and `quota [DOMID]`; the real daemon has more."""
    strings = split_strings(packet.payload)
    if strings[:1] == ["check"]:
        store.check()
        return OK
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


_HANDLERS: Final[dict[int, Handler]] = {
    packets.CONTROL: _control,
    packets.DIRECTORY: _directory,
    packets.READ: _read,
    packets.GET_PERMS: _get_perms,
    packets.UNWATCH: _unwatch,
    packets.TRANSACTION_START: _transaction_start,
    packets.TRANSACTION_END: _transaction_end,
    packets.INTRODUCE: _introduce,
    packets.RELEASE: _release,
    packets.GET_DOMAIN_PATH: _get_domain_path,
    packets.WRITE: _write,
    packets.MKDIR: _mkdir,
    packets.RM: _rm,
    packets.SET_PERMS: _set_perms,
    packets.IS_DOMAIN_INTRODUCED: _is_domain_introduced,
    packets.RESUME: _resume,
    packets.SET_TARGET: _set_target,
    packets.RESET_WATCHES: _reset_watches,
    packets.DIRECTORY_PART: _directory_part,
}
_OUTSIDE: Final = frozenset({packets.WATCH, packets.UNWATCH})
_FOR_DOM0: Final = frozenset(
    {
        packets.CONTROL,
        packets.INTRODUCE,
        packets.RELEASE,
        packets.IS_DOMAIN_INTRODUCED,
        packets.RESUME,
        packets.SET_TARGET,
    }
)
