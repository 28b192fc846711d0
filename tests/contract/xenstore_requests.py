# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests of xenstore by name, whose answer or error is a value: for comparing."""

from __future__ import annotations

from tests.support.xenstored import raw_client
from tests.support.xenstored.raw_client import RawClient, RawError

MKDIR = 12
RELEASE = 9
GET_DOMAIN_PATH = 10
IS_DOMAIN_INTRODUCED = 17
SET_TARGET = 19
DIRECTORY_PART = 22


def ask(client: RawClient, op: int, *fields: str | bytes, tx: int = 0) -> bytes | str:
    """The answer's payload, or the name of the error; a NUL goes behind each `str` field."""
    payload = [f.encode() + b"\0" if isinstance(f, str) else f for f in fields]
    try:
        return client.request(op, *payload, tx_id=tx)
    except RawError as error:
        return str(error.strerror)


def read(client: RawClient, path: str, tx: int = 0) -> bytes | str:
    return ask(client, raw_client.READ, path, tx=tx)


def write(client: RawClient, path: str, value: bytes = b"1", tx: int = 0) -> bytes | str:
    return ask(client, raw_client.WRITE, path, value, tx=tx)


def rm(client: RawClient, path: str, tx: int = 0) -> bytes | str:
    return ask(client, raw_client.RM, path, tx=tx)


def mkdir(client: RawClient, path: str, tx: int = 0) -> bytes | str:
    return ask(client, MKDIR, path, tx=tx)


def get_perms(client: RawClient, path: str) -> bytes | str:
    return ask(client, raw_client.GET_PERMS, path)


def set_perms(client: RawClient, path: str, *entries: str) -> bytes | str:
    return ask(client, raw_client.SET_PERMS, path, *entries)


def watch(client: RawClient, path: str, token: str) -> bytes | str:
    return ask(client, raw_client.WATCH, path, token)


def unwatch(client: RawClient, path: str, token: str) -> bytes | str:
    return ask(client, raw_client.UNWATCH, path, token)


def begin(client: RawClient) -> bytes | str:
    return ask(client, raw_client.TRANSACTION_START, "")


def end(client: RawClient, tx: int, how: str = "T") -> bytes | str:
    return ask(client, raw_client.TRANSACTION_END, how, tx=tx)


def number_of(answer: bytes | str) -> int:
    """The transaction that `begin` has begun."""
    assert isinstance(answer, bytes), answer
    return int(answer.rstrip(b"\0"))
