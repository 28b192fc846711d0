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
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from agent.core.facts.numbers import is_digits
from agent.core.facts.snapshot import DomainType
from agent.core.facts.units import MIB_KIB, PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.guest.config import GuestConfig
from sim_backend.guest.memory import Workload
from sim_backend.host.libxl import Libxl, ToolstackError
from sim_backend.hypervisor import Host
from sim_backend.published.domain import PublishedDomain
from sim_backend.published.standard_input import CommandLines, ending_signals, speed_factor
from sim_backend.published.xl import PublishedXl
from sim_backend.xenstore.server import Server
from sim_backend.xenstore.store import Store

DOM0_KIB: Final = 512 * MIB_KIB
HOST_KIB: Final = 4096 * MIB_KIB
XEN_KIB: Final = 128 * MIB_KIB
_AGENTS_START_STEPS: Final = 1000  # some 30 s
_COMMANDS: Final = {"workload": "workload NAME MIB", "destroy": "destroy NAME"}


def _guest(
    number: int, name: str, kind: DomainType, sizes_mib: tuple[int, int, int]
) -> GuestConfig:
    memory_mib, maxmem_mib, anon_mib = sizes_mib
    return GuestConfig(
        kind,
        memory_mib * MIB_KIB,
        maxmem_mib * MIB_KIB,
        name=name,
        uuid=f"00000000-0000-4000-8000-{number:012}",
        workload=Workload(anon_kib=anon_mib * MIB_KIB),
    )


GUESTS: Final = (
    _guest(1, "db", "pv", (512, 1024, 300)),
    _guest(2, "web", "pvh", (384, 768, 60)),
    _guest(3, "old", "pv", (256, 512, 40)),
)
MODES: Final = {"db": "follow", "web": "guard"}  # of the daemons; none runs in the others


class PublishedHost:
    """The host below `directory`.  For the main thread alone, as `PublishedDomain` is."""

    def __init__(self, directory: str, speed: float) -> None:
        self.toolstack = Libxl(Clock(), Host(HOST_KIB, XEN_KIB))
        self.toolstack.host.create(0, DOM0_KIB // PAGE_KIB, DOM0_KIB // PAGE_KIB)
        os.makedirs(directory, exist_ok=True)
        self.server = Server(Store())
        self.dom0_path = self.server.listen(os.path.join(directory, "dom0.sock"), 0)
        self.root = os.path.join(directory, "dom0")
        self._make_dom0()
        self.guests = {config.name: self.toolstack.create(config) for config in GUESTS}
        self._published = {
            name: PublishedDomain(domain, os.path.join(directory, name), speed, self.server)
            for name, domain in self.guests.items()
        }
        program, path = os.path.join(self.root, "usr/sbin/xl"), os.path.join(directory, "xl.sock")
        self._xl = PublishedXl(self.toolstack, self.guests, program, path)

    def paths(self) -> dict[str, object]:
        return {
            "root": self.root,
            "xenstore": self.dom0_path,
            "xl": self._xl.program,
            "guests": {name: one.paths() for name, one in self._published.items()},
        }

    def start_agents(self) -> list[subprocess.Popen[bytes]]:
        """The real daemon in each guest that is to have one."""
        started = []
        for name, mode in MODES.items():
            one = self._published[name]
            words = ["--root", one.root, "--xenstore", one.guest_path, "run", "--mode", mode]
            started.append(
                subprocess.Popen(  # noqa: S603 - our own program
                    [sys.executable, "-m", "agent", *words],
                    stdin=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        return started

    def step(self) -> None:
        """Serve whoever asks: xenstore, the guests' files, and xl."""
        for one in self._published.values():
            one.step(0)
        self._xl.serve()

    def agents_speak(self) -> bool:
        """Whether every agent has said something to its host."""
        return all(
            self.guests[name].store.read("data/balloon/spare_kb") is not None for name in MODES
        )

    def close(self) -> None:
        """Close the sockets; the files stay."""
        for one in reversed(self._published.values()):
            one.close()
        self.server.close()
        self._xl.close()

    def _make_dom0(self) -> None:
        """What tells that this is dom0."""
        os.makedirs(os.path.join(self.root, "proc/xen"), exist_ok=True)
        with open(os.path.join(self.root, "proc/xen/capabilities"), "w", encoding="ascii") as file:
            file.write("control_d\n")

    def do(self, words: Sequence[str]) -> None:
        """A command of standard input.

        Raises:
            ValueError: there is no such command or guest, or its words are not as they must be.
            ToolstackError: it was refused.
        """
        usage = _COMMANDS.get(words[0])
        if usage is None:
            raise ValueError(f"no such command: {' '.join(words)}")
        if len(words) != len(usage.split()):
            raise ValueError(f"{' '.join(words)}: write {usage}")
        name = words[1]
        if name not in self.guests:
            raise ValueError(f"no such guest: {name}; there are: {', '.join(self.guests)}")
        if words[0] == "destroy":
            self.toolstack.destroy(self.guests[name])
            self._published[name].destroyed()
        elif is_digits(words[2]):
            self.guests[name].change_workload(anon_kib=int(words[2]) * MIB_KIB)
        else:
            raise ValueError(f"not a number of MiB: {words[2]}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish the host until told to end."""
    parser = argparse.ArgumentParser(prog="python3 -m sim_backend.published.host")
    parser.add_argument("directory")
    parser.add_argument("--speed", type=speed_factor, default=1.0)
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
            _serve(host, CommandLines(sys.stdin), ended)
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
            except (ValueError, ToolstackError) as error:
                print(error, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
