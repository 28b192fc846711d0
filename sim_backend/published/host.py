# SPDX-License-Identifier: GPL-2.0-or-later
"""The program that publishes a whole host: several guests, one xenstored, and an `xl`.

    python3 -m sim_backend.published.host DIR [--speed FACTOR] [--without-agents]

prints one line of JSON when everything is there:

    {"root": "DIR/dom0", "xenstore": "DIR/dom0.sock", "xl": "DIR/dom0/usr/sbin/xl",
     "guests": {"db": {"root": "DIR/db/root", "xenstore": "DIR/db/guest.sock", "domid": 1}, ...}}

`balloon-agent --root DIR/dom0 --xenstore DIR/dom0.sock guests` is then dom0's view of it, and
`mem-set` calls that xl.  In each guest that has an agent the real daemon runs, as a process of its
own.  Ends on SIGTERM, SIGINT, or the end of standard input, from which it takes one command a line:

    workload NAME MIB    what the programs of a guest want
    destroy NAME         xl destroy

With --show it plays `guests` and `mem-set` itself, and ends.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from agent.core.facts.units import MIB_KIB, PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.guest.config import GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.memory import Workload
from sim_backend.host.libxl import Libxl, ToolstackError
from sim_backend.hypervisor import Host
from sim_backend.published.domain import PublishedDomain
from sim_backend.published.standard_input import CommandLines, ending_signals
from sim_backend.xenstore.server import Server
from sim_backend.xenstore.store import Store

DOM0_KIB: Final = 512 * MIB_KIB
HOST_KIB: Final = 4096 * MIB_KIB
XEN_KIB: Final = 128 * MIB_KIB
_MOST_BYTES: Final = 4096
_AGENTS_START_STEPS: Final = 1000  # some 30 s
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


class Planned(NamedTuple):
    """A guest to be, and whether the daemon runs in it."""

    config: GuestConfig
    mode: str | None


def _guest(number: int, name: str, kind: str, sizes_mib: tuple[int, int, int]) -> GuestConfig:
    memory_mib, maxmem_mib, anon_mib = sizes_mib
    return GuestConfig(
        kind,  # type: ignore[arg-type]
        memory_mib * MIB_KIB,
        maxmem_mib * MIB_KIB,
        name=name,
        uuid=f"00000000-0000-4000-8000-{number:012}",
        workload=Workload(anon_kib=anon_mib * MIB_KIB),
    )


PLAN: Final = (
    Planned(_guest(1, "db", "pv", (512, 1024, 300)), "follow"),
    Planned(_guest(2, "web", "pvh", (384, 768, 60)), "guard"),
    Planned(_guest(3, "old", "pv", (256, 512, 40)), None),
)


def mem_size_kib(text: str) -> int | None:
    """A size as xl reads it (tools/xl/xl_parse.c, parse_mem_size_kb): MiB without a letter."""
    found = re.fullmatch(r"\s*([+-]?[0-9]*)([a-zA-Z]?)", text, re.ASCII)
    shift = _SHIFTS.get(found[2].lower()) if found else None
    if found is None or shift is None:
        return None
    number = int(found[1]) if found[1].strip("+-") else 0
    return number << shift if shift >= 0 else number >> -shift


class PublishedHost:
    """The host below `directory`.  For the main thread alone, as `PublishedDomain` is."""

    def __init__(
        self, directory: str, speed: float = 1.0, plan: Sequence[Planned] = PLAN, seed: int = 0
    ) -> None:
        self.toolstack = Libxl(Clock(seed), Host(HOST_KIB, XEN_KIB))
        self.toolstack.host.create(0, DOM0_KIB // PAGE_KIB, DOM0_KIB // PAGE_KIB)
        os.makedirs(directory, exist_ok=True)
        self.directory = directory
        self.server = Server(Store())
        self.dom0_path = self.server.listen(os.path.join(directory, "dom0.sock"), 0)
        self.root = os.path.join(directory, "dom0")
        self._make_dom0()
        self.guests: dict[str, SimulatedDomain] = {}
        self._published: dict[str, PublishedDomain] = {}
        self._plan = {planned.config.name: planned for planned in plan}
        for planned in plan:
            domain = self.toolstack.create(planned.config)
            self.guests[planned.config.name] = domain
        for name, domain in self.guests.items():
            path = os.path.join(directory, name)
            os.makedirs(path, exist_ok=True)
            self._published[name] = PublishedDomain(domain, path, speed, self.server)
        self._xl = socket.socket(socket.AF_UNIX)
        self._xl.bind(self._xl_path)
        self._xl.listen(8)
        self._words: dict[str, Callable[[Sequence[str]], str]] = {
            "list": self._list,
            "info": self._info,
            "mem-set": self._mem_set,
        }

    def paths(self) -> dict[str, object]:
        return {
            "root": self.root,
            "xenstore": self.dom0_path,
            "xl": os.path.join(self.root, "usr/sbin/xl"),
            "guests": {name: one.paths() for name, one in self._published.items()},
        }

    def start_agents(self) -> list[subprocess.Popen[bytes]]:
        """The real daemon in each guest that is to have one."""
        started = []
        for name, planned in self._plan.items():
            if planned.mode is not None:
                one = self._published[name]
                words = ["--root", one.root, "--xenstore", one.guest_path, "run"]
                started.append(
                    subprocess.Popen(  # noqa: S603 - our own program
                        [sys.executable, "-m", "agent", *words, "--mode", planned.mode],
                        stdin=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                    )
                )
        return started

    def step(self) -> None:
        """Serve whoever asks: xenstore, the guests' files, and xl."""
        for one in self._published.values():
            one.step(0)
        while select.select([self._xl], [], [], 0)[0]:
            self._serve_xl()

    def agents_speak(self) -> bool:
        """Whether every agent has said something to its host."""
        return all(
            self.guests[name].store.read("data/balloon/spare_kb") is not None
            for name, planned in self._plan.items()
            if planned.mode is not None
        )

    def close(self) -> None:
        """Close the sockets; the files stay."""
        for one in reversed(self._published.values()):
            one.close()
        self.server.close()
        self._xl.close()

    @property
    def _xl_path(self) -> str:
        return os.path.join(self.directory, "xl.sock")

    def _make_dom0(self) -> None:
        """What tells that this is dom0, and its xl."""
        for place in ("proc/xen", "usr/sbin"):
            os.makedirs(os.path.join(self.root, place), exist_ok=True)
        with open(os.path.join(self.root, "proc/xen/capabilities"), "w", encoding="ascii") as file:
            file.write("control_d\n")
        program = os.path.join(self.root, "usr/sbin/xl")
        with open(program, "w", encoding="utf-8") as file:
            file.write(_XL.format(python=sys.executable, path=os.path.abspath(self._xl_path)))
        os.chmod(program, stat.S_IRWXU)
        if os.path.exists(self._xl_path):
            os.unlink(self._xl_path)

    def _serve_xl(self) -> None:
        """One call of xl, answered as xl would."""
        connection, _ = self._xl.accept()
        with connection:
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
        rows = [("Domain-0", 0, self.toolstack.host.reservations[0].pages, "r-----")]
        for name, domain in self.guests.items():
            if domain.domid in self.toolstack.domains:
                pages = domain.reservation.pages
                rows.append((name, domain.domid, pages, "-b----" if domain.alive else "---s--"))
        for name, domid, pages, state in rows:
            mib = pages * PAGE_KIB // MIB_KIB
            lines.append(f"{name:<40} {domid:5} {mib:5} {1:5}     {state}  {1.0:8.1f}")
        return "\n".join(lines) + "\n"

    def _info(self, _arguments: Sequence[str]) -> str:
        host = self.toolstack.host
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
            self.toolstack.mem_set(domain, kib)
        except ToolstackError as error:
            number = word if domain is None else domain.domid
            raise ToolstackError(
                f"libxl: error: libxl_mem.c:278:libxl_set_memory_target: Domain {number}:{error}\n"
                f"cannot set domid {number} dynamic max memory to : {size}"
            ) from error
        return ""

    def _domain(self, word: str) -> SimulatedDomain | None:
        """A word of digits is a number, there or not (libxl_domain_qualifier_to_domid)."""
        if word.isdigit():
            return self.toolstack.domains.get(int(word))
        named = self.guests.get(word)
        if named is None or named.domid not in self.toolstack.domains:
            raise ToolstackError(f"{word} is an invalid domain identifier (rc=-6)")
        return named

    def do(self, words: Sequence[str]) -> None:
        """A command of standard input.

        Raises:
            KeyError, ValueError: there is no such guest or command.
            ToolstackError: it was refused.
        """
        if words[:1] == ["workload"]:
            _, name, mib = words
            self.guests[name].change_workload(anon_kib=int(mib) * MIB_KIB)
        elif words[:1] == ["destroy"]:
            _, name = words
            self.toolstack.destroy(self.guests[name])
            self._published[name].destroyed()
        elif words:
            raise ValueError(f"no such command: {' '.join(words)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish the host until told to end."""
    parser = argparse.ArgumentParser(prog="python3 -m sim_backend.published.host")
    parser.add_argument("directory")
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--without-agents", action="store_true")
    parser.add_argument("--show", action="store_true", help="play the two commands and end")
    options = parser.parse_args(arguments)
    ended = ending_signals()
    try:
        host = PublishedHost(options.directory, options.speed)
    except OSError as error:
        print(f"{options.directory}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    agents = [] if options.without_agents else host.start_agents()
    try:
        if options.show:
            _show(host)
        else:
            print(json.dumps(host.paths()), flush=True)  # noqa: T201
            _serve(host, CommandLines(sys.stdin.fileno()), ended)
    finally:
        for agent in agents:
            agent.terminate()
        for agent in agents:
            while agent.poll() is None:  # it says its last words to xenstore
                host.step()
        host.close()
    return 0


def _show(host: PublishedHost) -> None:
    """What dom0 sees before and after it wants too much of a guest, as a user would type it."""
    for _ in range(_AGENTS_START_STEPS):
        host.step()
        if host.agents_speak():
            break
    words = ["--root", host.root, "--xenstore", host.dom0_path]
    print("\nA simulated host of three guests; the real daemon runs in two.", flush=True)  # noqa: T201
    for command in (["guests"], ["mem-set", "db", "200"], ["guests"]):
        print(f"\ndom0# balloon-agent {' '.join(command)}", flush=True)  # noqa: T201
        ran = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "agent", *words, *command], stdin=subprocess.DEVNULL
        )
        while ran.poll() is None:
            host.step()


def _serve(host: PublishedHost, lines: CommandLines, ended: list[int]) -> None:
    """Until a signal, or the end of standard input where that is a pipe or a terminal."""
    while not ended and not lines.ended:
        host.step()
        for words in lines.taken():
            try:
                host.do(words)
            except (KeyError, ValueError, ToolstackError) as error:
                print(error, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
