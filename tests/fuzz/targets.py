# SPDX-License-Identifier: GPL-2.0-or-later
"""What is fuzzed, by name: a function of bytes that raises only when the program is wrong.

Text of the kernel, keys of the host and of its guests, packets of xenstored, the head of an HTTP
request, the administrator's configuration, and a whole capture somebody sent. The kept corpus of a
target is tests/corpus/NAME/.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from agent.cli.http_once import Answer, answer_to
from agent.core.facts.numbers import MalformedError, key_decimal
from agent.daemon.config.effective import ConfigError
from agent.daemon.config.load import load_config
from agent.report.status_json import status_object
from agent.sources.system_root import NotXenError
from agent.sources.xenstore.errors import XenstoreError
from agent.sources.xenstore.session import XenstoreSession
from tests.sources.parsers import PARSERS, REFUSALS
from tests.support.captured import QUICK, gathered, load
from tests.support.claims import (
    KEYS,
    must_be_counted_as_it_should,
    must_be_set_as_it_should,
    must_be_shown_as_it_should,
)
from tests.support.judged import assess
from tests.support.scripted_peer import ScriptedPeer

Target = Callable[[bytes], None]

SHOWN_LIMIT: Final = 400
CAPTURED: Final = "pv-512-1024-k510/memset-768"
# Below what a unix socket's buffer always takes, so that the peer never waits.
STREAM_LIMIT_BYTES: Final = 32768


def must_be_presentable(sentence: str) -> None:
    """What a refusal says goes to a terminal: one line, nothing that steers it."""
    assert sentence.isprintable(), ascii(sentence)
    assert len(sentence) < SHOWN_LIMIT, len(sentence)


def _parser(parse: Callable[[bytes], object]) -> Target:
    def target(raw: bytes) -> None:
        try:
            parse(raw)
        except REFUSALS as refusal:
            must_be_presentable(str(refusal))

    return target


def http_request(raw: bytes) -> None:
    """The head of a request, answered as the metrics' port does."""
    answer = answer_to(raw, lambda: Answer(200, "up 1\n")).encoded()
    head, _, _ = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 ")


def configuration(raw: bytes) -> None:
    """A configuration file: every value within its bounds, or a sentence."""
    path = os.path.join(_scratch(), "config.toml")
    Path(path).write_bytes(raw)
    try:
        config = load_config(path)
    except ConfigError as error:
        must_be_presentable(str(error))
    else:
        assert config.policy.floor_kib is None or config.policy.floor_kib >= 0
        assert config.policy.cooldown_s >= 0


def xenstore_stream(raw: bytes) -> None:
    """Whatever a peer sends: an answer or an error of the session, and no more than is due."""
    with ScriptedPeer() as peer:
        session = XenstoreSession(peer.path, timeout_s=0.001)
        session.connect()
        peer.accept()
        peer.send(raw[:STREAM_LIMIT_BYTES])
        try:
            with contextlib.suppress(MalformedError):
                key_decimal(session.read("memory/target"))
            session.list("memory")
            session.write("data/x", b"1")
            session.events()
        except XenstoreError as error:
            must_be_presentable(str(error))
        finally:
            session.close()


def capture(raw: bytes) -> None:
    """A capture in which one file, chosen by the first byte, has the rest as its content."""
    files = dict(_captured())
    names = sorted(files)
    chosen = names[raw[0] % len(names)] if raw else names[0]
    with tempfile.TemporaryDirectory(dir=QUICK) as directory:
        for name, content in (files | {chosen: raw[1:]}).items():
            file = Path(directory, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        try:
            json.dumps(status_object(assess(gathered(Path(directory)))))
        except NotXenError:
            assert chosen.startswith("sys/"), chosen


def guest_claims(raw: bytes) -> None:
    """What a guest writes below data/balloon, a key a line, as dom0 shows it and acts by it."""
    written = dict(zip(KEYS, raw.split(b"\n")))
    must_be_shown_as_it_should(written)
    must_be_counted_as_it_should(written)
    must_be_set_as_it_should(written)


@cache
def _captured() -> dict[str, bytes]:
    return {name: text.encode() for name, text in load(CAPTURED).files.items()}


@cache
def _scratch() -> str:
    return tempfile.mkdtemp(prefix="balloon-agent-fuzz-", dir=QUICK)


OTHERS: Final[dict[str, Target]] = {
    "http_request": http_request,
    "configuration": configuration,
    "xenstore_stream": xenstore_stream,
    "capture": capture,
    "guest_claims": guest_claims,
}
TARGETS: Final[dict[str, Target]] = {
    **{name: _parser(parse) for name, parse in PARSERS.items()},
    **OTHERS,
}
