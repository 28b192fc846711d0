# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's log of this boot, for the few lines that tell what memory it started with.

    Released 0 page(s)
    Memory: 201120K/1048188K available (14343K kernel code, ..., 607028K reserved, 0K cma-reserved)
    Freeing initrd memory: 6844K
    Freeing unused kernel image (initmem) memory: 2824K

Live it is /dev/kmsg (root, or anybody where kernel.dmesg_restrict=0), in a capture the file
kernel.log.  It is a ring: on a guest that logs much, the lines of the boot are gone after a while.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final

from agent.core.facts.snapshot import BootLog
from agent.sources.outcome import OK, MalformedError, Outcome, parsed
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot, status_of_error

CAPTURED_FILE: Final = "kernel.log"
DEVICE: Final = "dev/kmsg"
RECORD_LIMIT_BYTES: Final = 8192
MOST_RECORDS: Final = 100_000

_MEMORY = re.compile(
    r"\bMemory: [0-9]{1,15}K/([0-9]{1,15})K available \(.*?([0-9]{1,15})K reserved", re.ASCII
)
_FREEING = re.compile(r"\bFreeing [^:\n]{1,80} memory: ([0-9]{1,15})K$", re.ASCII)
_STAMP = re.compile(r"\[ *([0-9]{1,9}\.[0-9]{6})\]", re.ASCII)
_RELEASED = re.compile(r"\bReleased ([0-9]{1,15}) page\(s\)", re.ASCII)
RELEVANT = re.compile(
    r"\bMemory: [0-9]+K/|\bFreeing .* memory: [0-9]+K$|\bReleased [0-9]+ page|\bRemapped [0-9]+ "
    r"|xen:balloon|xen_balloon|initial ballooning|System RAM resource|BUG at arch/x86/xen/p2m",
    re.ASCII,
)


def parse_kernel_log(text: str) -> BootLog:
    """What the boot said of memory (`BootLog.mem_total_kib` is exact from Linux 3.11 on).

    Raises:
        MalformedError: the line "Memory: ..." is not (or no longer) in it.
    """
    physical_kib = reserved_kib = freed_kib = released_pages = 0
    ended_s: float | None = None
    for line in text.split("\n"):
        if found := _RELEASED.search(line):
            released_pages += int(found[1])
        elif found := _MEMORY.search(line):
            physical_kib, reserved_kib = int(found[1]), int(found[2])
            freed_kib = 0  # what was freed before is not in `reserved` any more
        elif found := _FREEING.search(line):
            freed_kib += int(found[1])
            stamp = _STAMP.match(line)
            ended_s = float(stamp[1]) if stamp else ended_s
    if not physical_kib:
        raise MalformedError("the boot's 'Memory:' line is not in it")
    return BootLog(physical_kib, reserved_kib, freed_kib, released_pages, ended_s)


def read_kernel_log_text(root: SystemRoot) -> Outcome[str]:
    """The log's text: from /dev/kmsg when live, else from the capture."""
    if not root.is_live:
        return root.read(CAPTURED_FILE, LARGE_LIMIT_BYTES)
    try:
        return Outcome(_read_ring(root.absolute(DEVICE)), OK)
    except OSError as error:
        return Outcome(None, status_of_error(error))


def read_kernel_log(root: SystemRoot) -> Outcome[BootLog]:
    """The boot's figures below `root`."""
    return parsed(read_kernel_log_text(root), parse_kernel_log)


def _read_ring(path: str) -> str:
    """All records now in the ring; each read(2) gives one, EPIPE means that it was overwritten."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    lines: list[str] = []
    try:
        for _ in range(MOST_RECORDS):
            try:
                record = os.read(descriptor, RECORD_LIMIT_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.EPIPE:
                    continue
                raise
            if not record:
                break
            prefix, _, message = record.partition(b";")
            line = message.partition(b"\n")[0].decode("utf-8", "backslashreplace")
            if RELEVANT.search(line):
                lines.append(f"[{_stamp_s(prefix):12.6f}] {line}")
    finally:
        os.close(descriptor)
    return "\n".join(lines)


def _stamp_s(prefix: bytes) -> float:
    """The time of a record `6,339,5140900,-;...` in seconds since boot (given in microseconds)."""
    fields = prefix.split(b",")
    return int(fields[2]) / 1e6 if len(fields) > 2 and fields[2].isdigit() else 0.0
