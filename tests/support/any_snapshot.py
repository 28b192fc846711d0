# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots as a hostile host, a broken kernel or a damaged capture could give them.

Each is an ordinary guest in which some fields have any value of their type: sizes at their bounds,
one off them, below zero; parts missing; maps of any shape.
"""

from __future__ import annotations

import sys
import typing
from typing import Any, Final

from hypothesis import strategies as st

from agent.core.facts.bounds import LARGEST_ADDRESS, LARGEST_KIB
from agent.core.facts.kernel_regimes import REGIMES
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.memory_map import SYSTEM_RAM, MemoryMap, Region, memory_map
from agent.core.facts.snapshot import (
    BalloonReading,
    BootLog,
    BootRecord,
    DomainFacts,
    HostMemoryKeys,
    MemoryBlocks,
    MemoryReading,
    Pressure,
    Snapshot,
    Zones,
)
from tests.support.snapshots import a_dom0, a_pv_guest, a_pvh_guest, an_hvm_guest

PARTS: Final = {
    "domain": DomainFacts,
    "balloon": BalloonReading,
    "host": HostMemoryKeys,
    "memory": MemoryReading,
    "zones": Zones,
    "pressure": Pressure,
    "blocks": MemoryBlocks,
    "boot_log": BootLog,
    "boot_record": BootRecord,
}
_RECORD: Final = BootRecord(524288, 524288, 1048192, 524288, 1048576)
_BASES: Final = tuple(
    make(boot_record=record)
    for make in (a_pv_guest, a_pvh_guest, an_hvm_guest, a_dom0)
    for record in (None, _RECORD)
)

ODD: Final = (0, 1, 2, 3, 4, 5, 1023, 1024, 4095, 4096, 24576, 524287, 524292, 1048576, 1 << 30,
              1 << 41, LARGEST_KIB - 1, LARGEST_KIB)  # fmt: skip
NUMBERS = st.sampled_from([*ODD, *(-n for n in ODD)]) | st.integers(-LARGEST_KIB, LARGEST_KIB)
ADDRESSES = st.sampled_from(
    [0, 1, 0xFFF, 0x1000, 0x9FC00, 0xA0000, 0x100000, 0x8000000, 1 << 32, LARGEST_ADDRESS - 1,
     LARGEST_ADDRESS, (1 << 64) - 1]
) | st.integers(0, (1 << 64) - 1)  # fmt: skip
MAPS: st.SearchStrategy[MemoryMap] = st.lists(
    st.builds(
        lambda start, end, kind: Region(min(start, end), max(start, end), kind),
        ADDRESSES,
        ADDRESSES,
        st.sampled_from([SYSTEM_RAM, SYSTEM_RAM, "Reserved", "Unusable memory", "Crash kernel"]),
    ),
    max_size=6,
).map(memory_map)
OPTIONS = st.lists(
    st.sampled_from(
        ["mem=1M", "crashkernel=1G-64G:448M", "crashkernel=99999999999G", "crashkernel=auto",
         "elfcorehdr=1", "swiotlb=9999999", "hugepages=5", "xen.balloon_boot_timeout=-1", "cma=x"]
    ),
    max_size=3,
).map(tuple)  # fmt: skip


# A kernel's page has one of these sizes, whatever is read (agent.gather): never none at all.
_CLOSED: Final = {"page_kib": st.sampled_from((4, 16, 64))}


def _of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type could have."""
    choices = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return st.sampled_from(choices)
    if origin is tuple:
        return st.lists(st.integers(0, 1 << 30), max_size=4).map(lambda some: tuple(sorted(some)))
    if choices:
        return st.one_of(*(_of_type(choice) for choice in choices))
    simple: dict[Any, st.SearchStrategy[Any]] = {
        type(None): st.none(),
        bool: st.booleans(),
        int: NUMBERS,
        float: st.sampled_from([0.0, 0.01, 5.0, 18.9, 19.0, 100.0, 999.99, 1e12]),
        str: st.sampled_from(["", "offline", "online", "x", "6.1.0-xen", "\x1b[2J", "²" * 300]),
        KernelRelease: st.sampled_from([r.since for r in REGIMES] + [KernelRelease(999, 9999)]),
    }
    return simple[hint]


def _hints(kind: type[Any]) -> dict[str, Any]:
    """The type of each field (`typing.get_type_hints` knows `X | None` from Python 3.10 on)."""
    names = vars(sys.modules[kind.__module__])
    hints = {}
    for field, hint in kind.__annotations__.items():
        text = hint.__forward_arg__ if isinstance(hint, typing.ForwardRef) else hint
        hints[field] = typing.Union[tuple(eval(part, names) for part in text.split(" | "))]
    return hints


def _fields() -> list[tuple[str, str, st.SearchStrategy[Any]]]:
    found: list[tuple[str, str, st.SearchStrategy[Any]]] = []
    for part, kind in PARTS.items():
        hints = _hints(kind)
        for field, hint in hints.items():
            known = _CLOSED.get(field)
            found.append((part, field, _of_type(hint) if known is None else known))
    return found


_CHANGES = st.one_of(
    *(st.tuples(st.just(part), st.just(field), value) for part, field, value in _fields()),
    st.tuples(st.sampled_from(["firmware_map", "iomem"]), st.none(), MAPS | st.none()),
    st.tuples(st.sampled_from([p for p in PARTS if p not in ("domain", "host")]), st.none(),
              st.none()),
    st.tuples(st.just("kernel_options"), st.none(), OPTIONS),
    st.tuples(st.just("uptime_s"), st.none(), st.sampled_from([None, 0.0, 19.0, 1e12])),
    st.tuples(st.just("hotplug_unpopulated"), st.none(), st.sampled_from([None, True, False])),
)  # fmt: skip


def _changed(snapshot: Snapshot, changes: list[tuple[str, str | None, Any]]) -> Snapshot:
    for part, field, value in changes:
        whole = getattr(snapshot, part)
        if field is None:
            snapshot = snapshot._replace(**{part: value})
        elif whole is not None:
            snapshot = snapshot._replace(**{part: whole._replace(**{field: value})})
    return snapshot


ANY_SNAPSHOT: Final = st.builds(
    _changed, st.sampled_from(_BASES), st.lists(_CHANGES, min_size=1, max_size=8)
)
