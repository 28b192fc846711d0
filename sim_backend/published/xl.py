# SPDX-License-Identifier: GPL-2.0-or-later
"""The xl of a published host: a program in its dom0 that asks this process, as xl asks Xen."""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from agent.core.facts.numbers import is_digits
from agent.core.facts.units import MIB_KIB, PAGE_KIB
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import Libxl, ToolstackError

_MOST_BYTES: Final = 4096
_SHIFTS: Final = {"t": 30, "g": 20, "m": 10, "": 10, "k": 0, "b": -10}
_XL: Final = """#!{python} -IS
import socket, sys
with socket.socket(socket.AF_UNIX) as host:
    host.connect({path!r})
    host.sendall("\\0".join(sys.argv[1:]).encode())
    host.shutdown(socket.SHUT_WR)
    answer = b""
    while True:
        some = host.recv(65536)
        if not some:
            break
        answer += some
status, _, text = answer.partition(b"\\n")
(sys.stderr if int(status) else sys.stdout).buffer.write(text)
sys.exit(int(status))
"""


class PublishedXl:
    """`program`, and the socket at `path` by which it is answered as xl would."""

    def __init__(
        self, toolstack: Libxl, guests: Mapping[str, SimulatedDomain], program: str, path: str
    ) -> None:
        self.program = program
        self._toolstack = toolstack
        self._guests = guests
        os.makedirs(os.path.dirname(program), exist_ok=True)
        with open(program, "w", encoding="utf-8") as file:
            file.write(_XL.format(python=sys.executable, path=os.path.abspath(path)))
        os.chmod(program, stat.S_IRWXU)
        if os.path.exists(path):
            os.unlink(path)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen(8)
        self._words: dict[str, Callable[[Sequence[str]], str]] = {
            "list": self._list,
            "info": self._info,
            "mem-set": self._mem_set,
        }

    def serve(self) -> None:
        """Answer whoever has called; does not wait."""
        while select.select([self._socket], [], [], 0)[0]:
            self._answer()

    def close(self) -> None:
        self._socket.close()

    def _answer(self) -> None:
        connection, _ = self._socket.accept()
        # Who has hung up, or says nothing in time, gets no answer.
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5.0)
            words = b""
            while len(words) < _MOST_BYTES and (some := connection.recv(_MOST_BYTES)):
                words += some
            command, *arguments = words.decode("utf-8", "replace").split("\0")
            try:
                text = self._words[command](arguments)
                connection.sendall(b"0\n" + text.encode())
            except KeyError:
                connection.sendall(b"1\ncommand not implemented\n")
            except ToolstackError as error:
                connection.sendall(f"1\n{error}\n".encode())

    def _list(self, _arguments: Sequence[str]) -> str:
        """As tools/xl/xl_list.c prints it."""
        lines = ["Name                                        ID   Mem VCPUs\tState\tTime(s)"]
        rows = [("Domain-0", 0, self._toolstack.host.reservations[0].pages, "r-----")]
        for name, domain in self._guests.items():
            if domain.domid in self._toolstack.domains:
                pages = domain.reservation.pages
                rows.append((name, domain.domid, pages, "-b----" if domain.alive else "---s--"))
        for name, domid, pages, state in rows:
            mib = pages * PAGE_KIB // MIB_KIB
            lines.append(f"{name:<40} {domid:5} {mib:5} {1:5}     {state}  {1.0:8.1f}")
        return "\n".join(lines) + "\n"

    def _info(self, _arguments: Sequence[str]) -> str:
        host = self._toolstack.host
        return (
            f"total_memory           : {host.total_pages * PAGE_KIB // MIB_KIB}\n"
            f"free_memory            : {host.free_kib // MIB_KIB}\n"
        )

    def _mem_set(self, arguments: Sequence[str]) -> str:
        """As tools/xl/xl_mem.c does it, and says what does not work."""
        if len(arguments) < 2:
            raise ToolstackError("'xl mem-set' requires at least 2 arguments.")
        word, size = arguments[:2]
        domain = self._domain(word)
        kib = mem_size_kib(size)
        if kib is None:
            raise ToolstackError(f"invalid memory size: {size}")
        try:
            if domain is None:
                raise ToolstackError(f"cannot get memory/target of domain {word}")
            self._toolstack.mem_set(domain, kib)
        except ToolstackError as error:
            number = word if domain is None else domain.domid
            raise ToolstackError(
                f"libxl: error: libxl_mem.c:278:libxl_set_memory_target: Domain {number}:{error}\n"
                f"cannot set domid {number} dynamic max memory to : {size}"
            ) from error
        return ""

    def _domain(self, word: str) -> SimulatedDomain | None:
        """A word of digits is a number, there or not (libxl_domain_qualifier_to_domid)."""
        if is_digits(word):
            return self._toolstack.domains.get(int(word))
        named = self._guests.get(word)
        if named is None or named.domid not in self._toolstack.domains:
            raise ToolstackError(f"{word} is an invalid domain identifier (rc=-6)")
        return named


def mem_size_kib(text: str) -> int | None:
    """A size as xl reads it (tools/xl/xl_parse.c, parse_mem_size_kb): MiB without a letter."""
    found = re.fullmatch(r"\s*([+-]?[0-9]*)([a-zA-Z]?)", text, re.ASCII)
    shift = _SHIFTS.get(found[2].lower()) if found else None
    if found is None or shift is None:
        return None
    number = int(found[1]) if found[1].strip("+-") else 0
    return number << shift if shift >= 0 else number >> -shift
