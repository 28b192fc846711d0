# SPDX-License-Identifier: GPL-2.0-or-later
"""How a xenstored knows domains: who manages them, what ends with them, who is told."""

from __future__ import annotations

import pytest

from tests.contract.hosts import Host
from tests.contract.xenstore_requests import (
    GET_DOMAIN_PATH,
    IS_DOMAIN_INTRODUCED,
    RELEASE,
    SET_TARGET,
    ask,
    read,
    set_perms,
    watch,
    write,
)
from tests.support.xenstored import raw_client
from tests.support.xenstored.raw_client import RawClient

OK = b"OK\0"
OTHER_DOMAINS = pytest.mark.own_host("makes and ends other domains")


def test_a_guest_learns_its_path_and_may_not_manage_domains(host: Host) -> None:
    number = str(host.domid)
    assert ask(host.guest, GET_DOMAIN_PATH, number) == f"{host.base}\0".encode()
    assert ask(host.guest, IS_DOMAIN_INTRODUCED, number) == "EACCES"
    assert ask(host.guest, RELEASE, number) == "EACCES"
    assert ask(host.guest, raw_client.INTRODUCE, "6", "1", "1") == "EACCES"


@pytest.mark.not_oxenstored("oxenstored says that it is done")
def test_a_guest_does_not_control_the_daemon(host: Host) -> None:
    assert ask(host.guest, raw_client.CONTROL, "check") == "EACCES"


def test_dom0_knows_which_domains_there_are(host: Host) -> None:
    assert ask(host.dom0, IS_DOMAIN_INTRODUCED, str(host.domid)) == b"T\0"
    assert ask(host.dom0, IS_DOMAIN_INTRODUCED, "99") == b"F\0"


@OTHER_DOMAINS
def test_only_a_guest_that_is_there_can_be_ended(host: Host) -> None:
    assert ask(host.dom0, RELEASE, "99") == "ENOENT"
    assert ask(host.dom0, RELEASE, "0") == "EINVAL"


@OTHER_DOMAINS
def test_what_a_domain_owned_ends_with_it(host: Host) -> None:
    host.xenstore.introduce(6)
    host.dom0.write("/shared/of-six", b"1")
    host.dom0.set_permissions("/shared/of-six", "n6")
    host.dom0.watch("@releaseDomain", "gone")
    host.dom0.watch("/shared", "shared")
    host.dom0.events_so_far()
    assert ask(host.dom0, RELEASE, "6") == OK
    assert host.dom0.events_so_far() == [("/shared/of-six", "shared"), ("@releaseDomain", "gone")]
    assert read(host.dom0, "/shared/of-six") == "ENOENT"
    assert ask(host.dom0, IS_DOMAIN_INTRODUCED, "6") == b"F\0"


@OTHER_DOMAINS
def test_a_released_domain_may_still_be_named_until_xen_ends_it(host: Host) -> None:
    host.xenstore.introduce(6)
    host.dom0.write("/shared/x", b"1")
    host.dom0.set_permissions("/shared/x", "n0", "r6")
    assert ask(host.dom0, RELEASE, "6") == OK
    assert ask(host.dom0, RELEASE, "6") == "ENOENT"
    assert set_perms(host.dom0, "/shared/x", "n6") == OK


@OTHER_DOMAINS
def test_a_new_domain_is_announced_to_dom0(host: Host) -> None:
    host.dom0.watch("@introduceDomain", "new")
    host.dom0.events_so_far()
    host.xenstore.introduce(6)
    assert host.dom0.next_event() == ("@introduceDomain", "new")


@OTHER_DOMAINS
def test_dom0_may_let_a_guest_hear_of_domains_that_end(host: Host) -> None:
    assert set_perms(host.dom0, "@releaseDomain", "n0", "r5") == OK
    watch(host.guest, "@releaseDomain", "r")
    watch(host.guest, "@introduceDomain", "i")
    host.guest.events_so_far()
    host.xenstore.introduce(6)
    assert ask(host.dom0, RELEASE, "6") == OK
    assert host.guest.events_so_far() == [("@releaseDomain", "r")]


@OTHER_DOMAINS
def test_a_device_model_may_do_what_its_guest_may(host: Host) -> None:
    with RawClient(host.xenstore.introduce(6).path) as device_model:
        assert write(device_model, f"{host.base}/data/x") == "EACCES"
        assert ask(host.dom0, SET_TARGET, "6", "5") == OK
        assert write(device_model, f"{host.base}/data/x") == OK
        assert read(device_model, f"{host.base}/memory/target") == b"524288"
        assert ask(host.dom0, SET_TARGET, "6", "99") == "ENOENT"
        assert ask(device_model, SET_TARGET, "6", "0") == "EACCES"
