# SPDX-License-Identifier: GPL-2.0-or-later
"""/boot/config-RELEASE or /proc/config.gz: what of the balloon the kernel was built with.

    CONFIG_XEN_BALLOON=y
    CONFIG_XEN_BALLOON_MEMORY_HOTPLUG=y
    # CONFIG_XEN_UNPOPULATED_ALLOC is not set

Debian and Fedora keep the first readable for everybody; /proc/config.gz exists with
CONFIG_IKCONFIG_PROC.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

from agent.core.findings.examination import KernelConfig
from agent.sources.kernel import read_release
from agent.sources.outcome import ABSENT, MalformedError, Outcome, malformed, parsed
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot

GZIP_FILE: Final = "proc/config.gz"
_GZIP_WINDOW_BITS: Final = 31  # zlib's way to say: gzip

_OPTION = re.compile(r"^CONFIG_(XEN_[A-Z_]{1,40})=y$", re.ASCII | re.MULTILINE)
_RELEASE = re.compile(r"[A-Za-z0-9._+~-]{1,128}", re.ASCII)
_SIGN_OF_A_CONFIG: Final = "CONFIG_64BIT"
RELEVANT = re.compile(
    r"^.*\bCONFIG_(?:64BIT|XEN_BALLOON|XEN_UNPOPULATED).*$", re.ASCII | re.MULTILINE
)


def parse_kernel_config(text: str, source: str) -> KernelConfig:
    """The options that matter.

    Raises:
        MalformedError: not a kernel's configuration.
    """
    if _SIGN_OF_A_CONFIG not in text:
        raise MalformedError(f"no {_SIGN_OF_A_CONFIG} in it")
    options = frozenset(_OPTION.findall(text))
    return KernelConfig(
        balloon="XEN_BALLOON" in options,
        memory_hotplug="XEN_BALLOON_MEMORY_HOTPLUG" in options,
        unpopulated_alloc="XEN_UNPOPULATED_ALLOC" in options,
        source=f"/{source}",
    )


def config_file(root: SystemRoot) -> str | None:
    """Where the configuration of the running kernel should be."""
    release = read_release(root).value or ""
    return f"boot/config-{release}" if _RELEASE.fullmatch(release) else None


def read_kernel_config(root: SystemRoot) -> Outcome[KernelConfig]:
    """The configuration of the running kernel, from the first file that has it."""
    path = config_file(root)
    named = Outcome[str](None, ABSENT)
    if path is not None:
        named = root.read(path, LARGE_LIMIT_BYTES)
        if named.value is not None:
            return parsed(named, lambda text: parse_kernel_config(text, path))
    packed = root.read_bytes(GZIP_FILE, LARGE_LIMIT_BYTES)
    if packed.value is None:
        return Outcome(None, named.status if packed.status == ABSENT else packed.status)
    try:
        content = zlib.decompressobj(_GZIP_WINDOW_BITS).decompress(packed.value, LARGE_LIMIT_BYTES)
    except zlib.error as error:
        return Outcome(None, malformed(error))
    text = Outcome(content.decode("ascii", "backslashreplace"), packed.status)
    return parsed(text, lambda shown: parse_kernel_config(shown, GZIP_FILE))
