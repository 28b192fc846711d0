# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's log of this boot, for the few lines that tell what memory it started with.

Linux 4.10 and later, before that (3.11), and before that:

    Released 0 page(s)
    Memory: 201120K/1048188K available (14343K kernel code, ..., 607028K reserved, 0K cma-reserved)
    Freeing initrd memory: 6844K
    Freeing unused kernel image (initmem) memory: 2824K

    Freeing unused kernel memory: 1336K (ffffffff81d20000 - ffffffff81e6e000)

    Released 283999 pages of unused memory          (a small r before Linux 3.2)
    Populating 1acb65-1f20c4 pfn range: 283999 pages added
    Memory: 1900000k/2097152k available (3300k kernel code, 448k absent, 190000k reserved, ...)
    Freeing unused kernel memory: 600k freed

mm/page_alloc.c, mem_init_print_info and free_reserved_area; arch/x86/mm/init_64.c, mem_init and
free_init_pages (before 3.11); arch/x86/xen/setup.c.

Live it is /dev/kmsg (root, or anybody where kernel.dmesg_restrict=0), in a capture the file
kernel.log.  It is a ring: on a guest that logs much, the lines of the boot are gone after a while.
The first go first, so the line "Memory:" vouches for all behind it.  A capture's may have come from
anywhere: with any prefix, in colours, with several boots in it, cut off at either end.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final, NamedTuple

from agent.core.facts.bounds import is_size
from agent.core.facts.numbers import MalformedError
from agent.core.facts.snapshot import BootLog
from agent.core.facts.units import pages_to_kib
from agent.sources.kernel import read_release
from agent.sources.outcome import OK, Outcome, parsed
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot, status_of_error

CAPTURED_FILE: Final = "kernel.log"
DEVICE: Final = "dev/kmsg"
RECORD_LIMIT_BYTES: Final = 8192
MOST_RECORDS: Final = 100_000
_LONGEST_LINE: Final = 1024  # LOG_LINE_MAX
# The first line of a kernel; a program may say these words as well, behind a name of its own.
_NAMED = re.compile(
    r"(?:^|\] |kernel: |>)Linux version ([0-9][^ \n]{1,128}) ", re.ASCII | re.MULTILINE
)
# A record `6,339,5140900,-;text`, stamped in microseconds since boot.  A first number below 8 is
# facility 0: what the kernel itself wrote, not a program.
_KERNELS_OWN = re.compile(rb"[0-7],[0-9]{1,20},([0-9]{1,20})[^;]*;([^\n]*)")

_MEMORY = re.compile(
    r"Memory: [0-9]{1,15}([kK])/([0-9]{1,15})[kK] available \(([^()]{1,300})(\))?", re.ASCII
)
_PART = re.compile(r" ?([0-9]{1,15})[kK] (reserved|absent)", re.ASCII)
_FREEING = re.compile(
    r"Freeing ([^:]{1,80}): ([0-9]{1,15})"
    r"(?:K|K \([0-9a-fA-Fx]{1,20} - [0-9a-fA-Fx]{1,20}\)|k freed)\s*$",
    re.ASCII,
)
_RELEASED = re.compile(r"[Rr]eleased ([0-9]{1,15}) page(?:\(s\)|s of unused memory)", re.ASCII)
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]", re.ASCII)  # dmesg --color, journalctl
# A last line of which the end is missing, where it may have been one of those that are counted.
_CUT_OFF = re.compile(
    r"(?:\[ *[0-9.]*\]? ?|kernel: ?|\bF(?:r|re|ree|reei|reein)?|Freeing ?[^:\n]{0,80})\Z", re.ASCII
)
_POPULATED = re.compile(r"pfn range: ([0-9]{1,15}) pages added", re.ASCII)
_STAMP = re.compile(r"\[ *([0-9]{1,9}\.[0-9]{6})\]", re.ASCII)

# mm/oom_kill.c; with a small k before Linux 2.6.36.
GROUP_KILLS: Final = tuple(f"Memory cgroup out of memory: {k}ill" for k in "Kk")
GROUP_CONSTRAINT: Final = "oom-kill:constraint=CONSTRAINT_MEMCG"
KILLS: Final = (
    *(f"Out of memory: {k}ill" for k in "Kk"),
    *(f"Out of memory (oom_kill_allocating_task): {k}ill" for k in "Kk"),
)
_OF_A_KILL: Final = (*GROUP_KILLS, GROUP_CONSTRAINT, *KILLS)
# What is kept of a log, by words that are looked for as they are: a pattern that may begin
# anywhere takes time with the square of a line.
_RELEVANT_WORDS: Final = (
    "Memory: ", "Freeing ", "eleased ", "Remapped ", "Populating ",
    "xen:balloon", "xen_balloon", "xen-balloon", "xen/balloon", "nitial ballooning",
    "add_memory() failed", "System RAM resource", "arch/x86/xen/p2m",
    *_OF_A_KILL,
)  # fmt: skip


class _Read(NamedTuple):
    """What the lines so far told.

    `whole`: all of it was understood.  `from_start`: the log begins before the line "Memory:", so
    that what was released is in it.
    """

    physical_kib: int = 0
    reserved_kib: int = 0
    freed_kib: int = 0
    released_pages: int = 0
    ended_s: float | None = None
    whole: bool = True
    saw_init_freed: bool = False
    from_start: bool = False
    released_unread: bool = False


def parse_kernel_log(text: str) -> BootLog:
    """What the boot said of memory; of several boots, the last.

    Raises:
        MalformedError: the line "Memory: ..." is not (or no longer) in it, or makes no sense.
    """
    read = _Read()
    text = of_last_boot(text)
    for line in text.split("\n"):
        read = _and_line(read, line[:_LONGEST_LINE])
    if not read.physical_kib:
        raise MalformedError("the boot's 'Memory:' line is not in it")
    released_kib = pages_to_kib(read.released_pages)
    log = BootLog(
        read.physical_kib,
        read.reserved_kib,
        read.freed_kib,
        read.released_pages,
        read.ended_s,
        whole=read.whole and read.saw_init_freed and not _CUT_OFF.search(text[-_LONGEST_LINE:]),
        tells_released=read.from_start and not read.released_unread,
    )
    sizes = (read.physical_kib, read.freed_kib, released_kib, log.mem_total_kib)
    if not all(map(is_size, sizes)) or log.mem_total_kib > read.physical_kib:
        raise MalformedError("the sizes of the boot do not go together")
    return log


def of_last_boot(text: str) -> str:
    """The lines of the last boot, without colours: a log of the disk holds several.

    A boot that has got to its line "Memory:" is over where another one begins: with the kernel's
    name, or on a PV guest with what it releases to Xen.
    """
    lines = _COLOUR.sub("", text).replace("\r\n", "\n").split("\n")
    start, had_memory = 0, False
    for number, line in enumerate(lines):
        begins = _NAMED.search(line, 0, _LONGEST_LINE) or _RELEASED.search(line, 0, _LONGEST_LINE)
        if had_memory and begins:
            start, had_memory = number, False
        had_memory = had_memory or _MEMORY.search(line, 0, _LONGEST_LINE) is not None
    return "\n".join(lines[start:])


def _and_line(read: _Read, line: str) -> _Read:
    """What is known after one more line."""
    if _NAMED.search(line):
        return read._replace(from_start=True)
    if "eleased " in line:
        return _and_released(read, line)
    if "Populating " in line and (found := _POPULATED.search(line)):
        return read._replace(released_pages=max(0, read.released_pages - int(found[1])))
    if (start := line.find("Memory: ")) >= 0 and (found := _MEMORY.match(line, start)):
        return _and_memory(read, found)
    if (start := line.find("Freeing ")) >= 0 and "pfn range" not in line:
        return _and_freed(read, line, _FREEING.match(line, start))
    return read


def _and_released(read: _Read, line: str) -> _Read:
    """A line "Released ...": pages given back to Xen, if it can be read."""
    if found := _RELEASED.search(line):
        pages = read.released_pages + int(found[1])
        return read._replace(released_pages=pages, from_start=True)
    unread = "page" in line and not read.physical_kib
    return read._replace(released_unread=read.released_unread or unread)


def _and_memory(read: _Read, found: re.Match[str]) -> _Read:
    """The line "Memory: ...": what was freed before it is not in its `reserved` any more.

    Before Linux 3.11, with its small k, the second number counts the holes of the map as well and
    the line of 32 bits leaves out high memory, so that is no exact figure.
    """
    parts = {part[2]: int(part[1]) for part in map(_PART.match, found[3].split(",")) if part}
    if "reserved" not in parts:
        return read
    modern = found[1] == "K" and found[4] is not None
    return read._replace(
        physical_kib=int(found[2]) - parts.get("absent", 0),
        reserved_kib=parts["reserved"],
        freed_kib=0,
        whole=modern,
        saw_init_freed=False,
    )


def _and_freed(read: _Read, line: str, found: re.Match[str] | None) -> _Read:
    """A line "Freeing ...": pages that go to the allocator, if it can be read."""
    if found is None:
        says_memory = any(words in line for words in ("emory", "SMP alternatives", "unused"))
        return read._replace(whole=False) if says_memory and read.physical_kib else read
    stamp = _STAMP.search(line)
    return read._replace(
        freed_kib=read.freed_kib + int(found[2]),
        ended_s=float(stamp[1]) if stamp else read.ended_s,
        saw_init_freed=read.saw_init_freed or "unused kernel" in found[1],
    )


def is_relevant(line: str) -> bool:
    """Whether a line of the log may say something of the guest's memory."""
    return any(word in line for word in _RELEVANT_WORDS)


def without_names(line: str) -> str:
    """A relevant line as it may be shown to others: of a kill, not who was killed."""
    line = line[:_LONGEST_LINE]
    for kill in _OF_A_KILL:
        head, found, _ = line.partition(kill)
        if found:
            return head + found
    return line


def read_kernel_log_text(root: SystemRoot) -> Outcome[str]:
    """The log's text: from /dev/kmsg when live, else from the capture."""
    if not root.is_live:
        return root.read(CAPTURED_FILE, LARGE_LIMIT_BYTES)
    try:
        return Outcome(_read_ring(root.absolute(DEVICE)), OK)
    except OSError as error:
        return Outcome(None, status_of_error(error))


def read_kernel_log(root: SystemRoot) -> Outcome[BootLog]:
    """The boot's figures below `root`; not exact where the log names another kernel than runs."""
    text, release = read_kernel_log_text(root), read_release(root).value
    log = parsed(text, parse_kernel_log)
    named = _NAMED.findall(of_last_boot(text.value or ""))
    if log.value is None or release is None or not named or named[-1] == release:
        return log
    return Outcome(log.value._replace(whole=False), log.status)


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
            if found := _KERNELS_OWN.match(record):
                line = found[2].decode("utf-8", "backslashreplace")
                if is_relevant(line):
                    lines.append(f"[{int(found[1]) / 1e6:12.6f}] {line}")
    finally:
        os.close(descriptor)
    return "\n".join(lines)
