# SPDX-License-Identifier: GPL-2.0-or-later
"""One HTTP request on standard input, one answer on standard output, and the end.

This is what systemd's Accept=yes sockets start for each connection: an exporter that costs
nothing between two scrapes, and needs no server of its own.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple

REQUEST_LIMIT_BYTES: Final = 8192
REQUEST_TIMEOUT_S: Final = 5.0


class Answer(NamedTuple):
    """What goes back; to a HEAD request without the body, whose length it tells."""

    status: int
    body: str
    content_type: str = "text/plain; charset=utf-8"
    with_body: bool = True

    def encoded(self) -> bytes:
        body = self.body.encode()
        allow = "Allow: GET, HEAD\r\n" if self.status == 405 else ""
        head = (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
            f"Content-Type: {self.content_type}\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"{allow}Connection: close\r\n\r\n"
        )
        return head.encode("ascii") + (body if self.with_body else b"")


def answer_to(request: bytes, metrics: Callable[[], Answer]) -> Answer:
    """The answer to a request's head."""
    words = request.partition(b"\r\n")[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return Answer(400, "This is not HTTP/1.\n")
    method, path = words[0], words[1].partition(b"?")[0]
    if method not in (b"GET", b"HEAD"):
        return Answer(405, "Only GET and HEAD.\n")
    with_body = method == b"GET"
    if path == b"/":
        return Answer(200, "balloon-agent: see /metrics\n", with_body=with_body)
    if path != b"/metrics":
        return Answer(404, "There is only /metrics.\n", with_body=with_body)
    return metrics()._replace(with_body=with_body)


def serve_once(metrics: Callable[[], Answer]) -> None:
    """Read the request from standard input and write the answer to standard output."""
    request = _read_head(sys.stdin.fileno())
    if request is None:
        answer = Answer(408, "No request within 5 s.\n")
    elif len(request) > REQUEST_LIMIT_BYTES:
        answer = Answer(431, "A request of at most 8192 bytes, please.\n")
    else:
        answer = answer_to(request, metrics)
    sys.stdout.buffer.write(answer.encoded())
    sys.stdout.buffer.flush()


def _read_head(descriptor: int) -> bytes | None:
    """Everything up to the empty line, or to the limit; None when it does not come in time."""
    deadline_s = time.monotonic() + REQUEST_TIMEOUT_S
    received = b""
    while b"\r\n\r\n" not in received and len(received) <= REQUEST_LIMIT_BYTES:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
            return None
        chunk = os.read(descriptor, REQUEST_LIMIT_BYTES + 1 - len(received))
        if not chunk:
            break
        received += chunk
    return received
