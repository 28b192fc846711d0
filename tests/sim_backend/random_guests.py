# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests at random: what the stories of a model that never breaks are about."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from agent.core.facts.snapshot import DomainType
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.kernel_images import KernelImage
from sim_backend.guest.memory import Workload


def guest_configs(
    kinds: Sequence[DomainType],
    images: Sequence[KernelImage],
    *,
    hugepages: st.SearchStrategy[bool] = st.just(False),  # noqa: B008 - strategies are immutable
    bits: st.SearchStrategy[int] = st.just(64),  # noqa: B008
) -> st.SearchStrategy[GuestConfig]:
    """Guests of these types and kernels; by default of 64 bits and without balloon_hugepages."""
    return st.builds(
        lambda kind, memory, more, image, anon, swap, released, huge, wide: GuestConfig(
            domain_type=kind,
            memory_kib=memory * MIB,
            maxmem_kib=(memory + more) * MIB,
            image=image,
            swap_kib=swap * MIB,
            released_pages=released if kind == "pv" else 0,
            cmdline="balloon_hugepages ro" if huge else "ro",
            bits=wide if kind == "pv" else 64,
            workload=Workload(anon_kib=anon * MIB),
        ),
        st.sampled_from(kinds),
        st.integers(192, 1024),
        st.integers(0, 1024),
        st.sampled_from(images),
        st.integers(0, 300),
        st.sampled_from([0, 128]),
        st.sampled_from([0, 300]),
        hugepages,
        bits,
    )
