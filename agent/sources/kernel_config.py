# SPDX-License-Identifier: GPL-2.0-or-later
"""What of the balloon the kernel was built with.

CONFIG_XEN_BALLOON=y
CONFIG_XEN_BALLOON_MEMORY_HOTPLUG=y
# CONFIG_XEN_UNPOPULATED_ALLOC is not set

/boot/config-RELEASE             Debian, Ubuntu, RHEL, SUSE
/lib/modules/RELEASE/config      Fedora and others whose /boot is the boot loader's
/boot/config-lts                 Alpine, by flavour
/proc/config.gz                  a kernel with CONFIG_IKCONFIG_PROC
"""

from __future__ import annotations

import re
import zlib
from typing import Final

from agent.core.facts.kernel_release import parse_kernel_release
from agent.core.facts.numbers import MalformedError
from agent.core.findings.examination import KernelConfig
from agent.sources.kernel import read_release
from agent.sources.outcome import ABSENT, OK, Outcome, malformed, parsed
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot

GZIP_FILE: Final = "proc/config.gz"
_MODULES: Final = ("lib/modules", "usr/lib/modules")
_HEAD = re.compile(r"^# Linux/\S{1,32} (\S{1,64})", re.ASCII | re.MULTILINE)
_HEAD_CHARACTERS: Final = 512
_GZIP_WINDOW_BITS: Final = 31  # zlib's way to say: gzip

_OPTION = re.compile(r"^CONFIG_(XEN_[A-Z_]{1,40})=y$", re.ASCII | re.MULTILINE)
_RELEASE = re.compile(r"[A-Za-z0-9._+~-]{1,128}", re.ASCII)
_SIGN_OF_A_CONFIG: Final = "CONFIG_64BIT"
RELEVANT = re.compile(
    r"^(?:# )?CONFIG_(?:64BIT|XEN_BALLOON|XEN_UNPOPULATED)[^\n]{0,80}$|^# Linux/[^\n]{1,100}$",
    re.ASCII | re.MULTILINE,
)


def parse_kernel_config(text: str, source: str) -> KernelConfig:
    """The options that matter.

    Raises:
        MalformedError: not a kernel's configuration.
    """
    if _SIGN_OF_A_CONFIG not in text:
        raise MalformedError(f"no {_SIGN_OF_A_CONFIG} in it")
    return KernelConfig("XEN_BALLOON_MEMORY_HOTPLUG" in _OPTION.findall(text), f"/{source}")


def candidates(release: str) -> tuple[str, ...]:
    """Where distributions keep the configuration of a kernel, best first.

    Alpine names the file after the flavour alone, so that of another kernel may lie there.
    """
    if not _RELEASE.fullmatch(release):
        return ()
    flavour = release.rpartition("-")[2]
    named = f"boot/config-{release}", *(f"{tree}/{release}/config" for tree in _MODULES)
    return (*named, f"boot/config-{flavour}") if "-" in release else named


def read_config_text(root: SystemRoot) -> Outcome[tuple[str, str]]:
    """The configuration of the running kernel, and the file that has it."""
    release = read_release(root).value or ""
    refused = ABSENT
    for path in candidates(release):
        text = root.read(path, LARGE_LIMIT_BYTES)
        if text.value is not None and _is_of(text.value, release, path):
            return Outcome((text.value, path), OK)
        refused = text.status if refused == ABSENT and text.value is None else refused
    packed = root.read_bytes(GZIP_FILE, LARGE_LIMIT_BYTES)
    if packed.value is None:
        return Outcome(None, refused if packed.status == ABSENT else packed.status)
    try:
        content = zlib.decompressobj(_GZIP_WINDOW_BITS).decompress(packed.value, LARGE_LIMIT_BYTES)
    except zlib.error as error:
        return Outcome(None, malformed(error))
    return Outcome((content.decode("ascii", "backslashreplace"), GZIP_FILE), OK)


def read_kernel_config(root: SystemRoot) -> Outcome[KernelConfig]:
    """The configuration of the running kernel, from the first file that has it."""
    return parsed(read_config_text(root), lambda found: parse_kernel_config(*found))


def _is_of(text: str, release: str, path: str) -> bool:
    """Whether a file is about this kernel: by its name, else by its head ("Linux/x86 6.12.13")."""
    if release in path:
        return True
    head = _HEAD.search(text[:_HEAD_CHARACTERS])
    return head is not None and parse_kernel_release(head[1]) == parse_kernel_release(release)
