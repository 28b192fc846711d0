# SPDX-License-Identifier: GPL-2.0-or-later
"""xl, Xen's own program of dom0; the only module of the agent that starts a process.

In dom0 there is no other way that keeps every promise of `xl mem-set`: it sets the hypervisor's
limit and the guest's target together, under libxl's lock (libxl_mem.c, libxl_set_memory_target),
and the calls into the hypervisor differ from release to release.  Arguments are numbers that were
checked, there is no shell, and a guest's commands and daemon never come here.

    $ xl list                                                   (4.14 to 4.20)
    Name                                        ID   Mem VCPUs      State   Time(s)
    Domain-0                                     0  1024     1     r-----      62.1
    db                                           5   512     1     -b----       9.3
    $ xl info
    total_memory           : 4095
    free_memory            : 2047
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from typing import Final, NamedTuple

from agent.core.facts.bounds import LARGEST_KIB
from agent.core.facts.numbers import is_digits
from agent.core.facts.units import MIB_KIB
from agent.core.host.guests import Hypervisor, Life

PLACES: Final = ("usr/sbin/xl", "usr/local/sbin/xl", "sbin/xl", "usr/bin/xl", "usr/local/bin/xl")
_MOST_BYTES: Final = 1 << 20
_ASK_S: Final = 5.0
_CHANGE_S: Final = 20.0
_FLAGS: Final = re.compile(r"[A-Za-z?-]{6}", re.ASCII)
_LIVES: Final[tuple[tuple[str, Life], ...]] = (
    ("d", "dying"), ("c", "crashed"), ("w", "crashed"), ("s", "shut down"), ("p", "paused"),
)  # fmt: skip
_WHY: Final = re.compile(r"libxl: error: (?:[\w.]+:[0-9]+:\w+: (?:Domain [0-9]+:)?)?(.+)", re.ASCII)
_INFO: Final = re.compile(r"^(total|free)_memory +: ([0-9]{1,12})$", re.ASCII | re.MULTILINE)


class XlError(Exception):
    """xl could not be asked, or refused; the text is its own, in one printable line."""


class XlHangsError(XlError):
    """xl was ended after it took too long; what it was to change may have changed."""


class Listed(NamedTuple):
    """A line of `xl list`."""

    has_kib: int
    life: Life


class Xl:
    """The program at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path

    def domains(self) -> dict[int, Listed]:
        """Every domain by its number, dom0 too.

        Raises:
            XlError: it could not be asked.
        """
        found = listed_in(self._run(_ASK_S, "list"))
        if not found:  # not even dom0
            raise XlError("xl list says nothing that can be read")
        return found

    def hypervisor(self) -> Hypervisor:
        """What the host has, but for dom0's part.

        Raises:
            XlError: it could not be asked.
        """
        return hypervisor_in(self._run(_ASK_S, "info"))

    def mem_set(self, domid: int, mib: int) -> None:
        """Ask a guest to have so much; does not wait for it.

        Raises:
            XlError: it was refused.
        """
        if not (domid > 0 and 0 < mib <= LARGEST_KIB // MIB_KIB):
            raise XlError(f"domain {domid} cannot be given {mib} MiB")
        self._run(_CHANGE_S, "mem-set", str(domid), f"{mib}m")

    def _run(self, timeout_s: float, *arguments: str) -> str:
        """Its output.

        It runs in a session of its own, and goes on where an interrupt ends this: none leaves a
        guest half way.
        """
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell, and only arguments made here
                [self.path, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            )
        except OSError as error:
            raise XlError(f"{self.path}: {error.strerror}") from error
        with process:  # which waits, but not after an interrupt
            try:
                out, err = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired as error:
                os.killpg(process.pid, signal.SIGKILL)
                raise XlHangsError(f"xl {arguments[0]} took longer than {timeout_s:g} s") from error
        if process.returncode:
            raise XlError(_said(err) or f"xl {arguments[0]}: exit {process.returncode}")
        return out[:_MOST_BYTES].decode("utf-8", "backslashreplace")


def find_xl(root: str) -> Xl | None:
    """Xl below a root: of this machine, or of a published host."""
    for place in PLACES:
        path = os.path.join(root, place)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return Xl(path)
    return None


def listed_in(text: str) -> dict[int, Listed]:
    """`xl list` by number; a line that makes no sense is left out.  A name may hold anything."""
    found = {}
    for line in text.split("\n"):
        domid, mib, vcpus, flags, _ = (("",) * 5 + tuple(line.split()))[-5:]
        if is_digits(domid, 5) and is_digits(vcpus, 5) and _FLAGS.fullmatch(flags):
            kib = _kib(mib) if is_digits(mib, 12) else None
            if kib is not None:
                found[int(domid)] = Listed(kib, _life(flags))
    return found


def hypervisor_in(text: str) -> Hypervisor:
    """What `xl info` says of memory; None where it does not."""
    mib: dict[str, str] = dict(_INFO.findall(text))
    return Hypervisor(_kib(mib.get("total")), _kib(mib.get("free")))


def _kib(mib: str | None) -> int | None:
    kib = int(mib) * MIB_KIB if mib is not None else None
    return kib if kib is not None and kib <= LARGEST_KIB else None


def _life(flags: str) -> Life:
    """`rbpscd`: running, blocked, paused, shut down, by which reason, dying (tools/xl/xl_list.c).

    The reason is one of `-rscwS?`; `c` has crashed, `w` was ended by its watchdog.
    """
    return next((life for letter, life in _LIVES if letter in flags), "running")


def _said(stderr: bytes) -> str:
    """Why it failed, printable: what libxl says first, and what it ends with where that is silent.

    libxl: error: libxl_mem.c:278:libxl_set_memory_target: Domain 8:memory_dynamic_max must be ...
    cannot set domid 8 dynamic max memory to : 2048m
    """
    lines = stderr[:4096].decode("utf-8", "backslashreplace").strip().splitlines()
    whys = [found.group(1) for found in map(_WHY.match, lines) if found]
    why = (whys or lines or [""])[0 if whys else -1]
    return "".join(c if c.isprintable() else "?" for c in why)[:200]
