# SPDX-License-Identifier: GPL-2.0-or-later
"""Every parser of a text from outside, under the name of its directory in tests/corpus/.

A parser either gives a value or raises one of `REFUSALS`; nothing else may leave it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from agent.core.facts.kernel_release import parse_kernel_release
from agent.core.facts.memory_options import crash_kernel_kib, memory_options
from agent.core.facts.numbers import (
    MalformedError,
    key_decimal,
    key_kib,
    key_signed,
    key_signed_kib,
    parse_decimal,
    parse_hex,
    parse_kib,
)
from agent.sources.boot_record import parse_boot_record
from agent.sources.crash_kernel import parse_crash_ranges
from agent.sources.daemon_status import parse_daemon_record, parse_published_domid
from agent.sources.firmware_memmap import parse_type
from agent.sources.iomem import parse_iomem
from agent.sources.kernel import parse_switch, parse_uptime
from agent.sources.kernel_complaints import parse_kernel_complaints
from agent.sources.kernel_config import parse_kernel_config
from agent.sources.kernel_log import parse_kernel_log
from agent.sources.meminfo import parse_meminfo
from agent.sources.os_release import parse_os_release
from agent.sources.outcome import HiddenError
from agent.sources.pressure import parse_pressure
from agent.sources.processes import parse_stat
from agent.sources.swaps import parse_zram_free_kib
from agent.sources.vmstat import parse_vmstat
from agent.sources.xen_memory import parse_target_bytes, parse_target_kib
from agent.sources.zoneinfo import parse_zoneinfo

CORPUS: Final = Path(__file__).parents[1] / "corpus"
REFUSALS: Final = (MalformedError, HiddenError)


def _of_text(parse: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """As `SystemRoot.read` hands it over."""
    return lambda raw: parse(raw.decode("utf-8", "backslashreplace"))


PARSERS: Final[dict[str, Callable[[bytes], Any]]] = {
    "boot_record": _of_text(parse_boot_record),
    "crash_options": _of_text(lambda text: crash_kernel_kib(text.split(), 1 << 20)),
    "crash_ranges": _of_text(parse_crash_ranges),
    "daemon_record": _of_text(parse_daemon_record),
    "decimal": _of_text(parse_decimal),
    "hex": _of_text(parse_hex),
    "iomem": _of_text(parse_iomem),
    "kib": _of_text(parse_kib),
    "kernel_complaints": _of_text(parse_kernel_complaints),
    "kernel_config": _of_text(lambda text: parse_kernel_config(text, "boot/config")),
    "kernel_log": _of_text(parse_kernel_log),
    "kernel_release": _of_text(parse_kernel_release),
    "meminfo": _of_text(parse_meminfo),
    "memmap_type": _of_text(parse_type),
    "os_release": _of_text(parse_os_release),
    "memory_options": _of_text(memory_options),
    "pressure": _of_text(parse_pressure),
    "process_stat": _of_text(parse_stat),
    "published_domid": _of_text(parse_published_domid),
    "switch": _of_text(parse_switch),
    "target_bytes": _of_text(parse_target_bytes),
    "target_kib": _of_text(parse_target_kib),
    "untrusted": key_decimal,
    "untrusted_kib": key_kib,
    "untrusted_signed": key_signed,
    "untrusted_signed_kib": key_signed_kib,
    "uptime": _of_text(parse_uptime),
    "vmstat": _of_text(parse_vmstat),
    "zram": _of_text(parse_zram_free_kib),
    "zoneinfo": _of_text(parse_zoneinfo),
}
