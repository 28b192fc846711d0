# SPDX-License-Identifier: GPL-2.0-or-later
"""`guests --json`: one object, sizes in KiB.  Keys may be added here, never renamed or removed."""

from __future__ import annotations

from typing import Any, Final

from agent.core.host.guests import Guest, Host, sentence, verdict

SCHEMA: Final = 1


def guests_object(host: Host, time_utc: str) -> dict[str, Any]:
    """One look at a host; what is unknown is None.  `time_utc` is ISO 8601."""
    hypervisor = host.hypervisor
    return {
        "schema": SCHEMA,
        "time": time_utc,
        "verdict": verdict(host),
        "headline": sentence(host),
        "host": {
            "total_kib": hypervisor.total_kib,
            "free_kib": hypervisor.free_kib,
            "dom0_kib": hypervisor.dom0_kib,
            "guests_kib": host.has_kib,
            "spare_kib": host.spare_kib,
            "problem": host.problem,
            "missing": list(host.missing),
        },
        "guests": [_guest(guest) for guest in host.guests],
    }


def _guest(guest: Guest) -> dict[str, Any]:
    claims = guest.claims
    return {
        "domid": guest.domid,
        "name": guest.name,
        "uuid": guest.uuid,
        "life": guest.life,
        "kind": guest.kind,
        "has_kib": guest.has_kib,
        "target_kib": guest.target_kib,
        "static_max_kib": guest.static_max_kib,
        "actual_kib": claims.actual_kib,
        "floor_kib": claims.floor_kib,
        "spare_kib": guest.spare_kib,
        "available_kib": guest.available_kib,
        "state": claims.state,
        "pressure": claims.pressure,
        "mode": claims.mode,
        "finding": claims.finding,
        "seq": claims.seq,
        "agent": claims.version,
        "uncooperative": guest.uncooperative,
        "problem": guest.problem,
        "held": guest.is_held,
        "silent": guest.is_silent,
        "odd": list(guest.doubts),
        "trusted": False,
    }
