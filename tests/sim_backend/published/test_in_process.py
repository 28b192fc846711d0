# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from agent.sources.guest_keys import read_guest_keys
from agent.sources.host_keys import read_host
from sim_backend.guest.readings import SILENT
from sim_backend.host.libxl import simple_guest
from sim_backend.published.in_process import SimulatedKeys


def test_a_xenstored_that_is_silent_answers_no_request_at_all() -> None:
    _, domain = simple_guest()
    keys = SimulatedKeys(domain)
    assert keys.names("memory").value == ("static-max", "target", "videoram")
    assert keys.may_write("data").value is True
    domain.store.silent = True
    assert {keys.names("memory").status, keys.may_write("data").status} == {SILENT}
    assert set(read_host(keys)[1].values()) == {SILENT}
    assert read_guest_keys(keys).status == SILENT
