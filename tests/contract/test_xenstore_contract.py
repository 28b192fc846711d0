# SPDX-License-Identifier: GPL-2.0-or-later
"""What every xenstore does: paths, permissions, values, the wire."""

from __future__ import annotations

import os
import tty

import pytest

from tests.contract.hosts import Host
from tests.contract.xenstore_requests import (
    DIRECTORY_PART,
    RELEASE,
    ask,
    get_perms,
    mkdir,
    read,
    rm,
    set_perms,
    write,
)
from tests.support.xenstored import raw_client
from tests.support.xenstored.raw_client import HEADER, RawClient, RawPacket

OK = b"OK\0"
KERNEL_READS = pytest.mark.own_host("a real kernel reads this key and writes its answer into it")
OTHER_DOMAINS = pytest.mark.own_host("makes and ends other domains")
THE_WIRE = pytest.mark.own_host("a real guest's kernel speaks on the wire")
BIG = pytest.mark.own_host("dom0's hand takes no request of that size")


def owner(host: Host) -> bytes:
    """The permissions of a node that is the guest's alone."""
    return b"n%d\0" % host.domid


@pytest.mark.parametrize("key", ["memory/target", "memory/static-max", "name", "vm", "domid"])
def test_a_guest_reads_what_the_toolstack_tells_it(host: Host, key: str) -> None:
    assert read(host.guest, key) == host.dom0.read(f"{host.base}/{key}") != b""


@pytest.mark.parametrize("path", ["/local/domain/0", "/libxl/N", "/tool", "/vm", "/local"])
def test_a_guest_does_not_read_what_is_not_its_own(host: Host, path: str) -> None:
    its = path.replace("N", str(host.domid))
    # Where nobody made it, as /tool on a host with Xen 4.14, oxenstored tells a guest just that.
    nothing_there = read(host.dom0, its) == "ENOENT"
    assert read(host.guest, its) in (("EACCES", "ENOENT") if nothing_there else ("EACCES",))


@pytest.mark.parametrize(
    "key",
    [
        "data/balloon/state",
        "attr/PVAddons/MajorVersion",
        "drivers/0",
        "feature/x",
        "error/x",
        "data",
        pytest.param("control/shutdown", marks=KERNEL_READS),
        pytest.param("control/sysrq", marks=KERNEL_READS),
        "control/feature-suspend",
    ],
)
def test_a_guest_writes_where_libxl_lets_it(host: Host, key: str) -> None:
    assert write(host.guest, key, b"7") == OK
    assert host.dom0.read(f"{host.base}/{key}") == b"7"
    assert get_perms(host.guest, key) == owner(host)


@pytest.mark.parametrize(
    "key",
    [
        "memory/target",
        "memory/meminfo",
        "memory/uncooperative",
        "control/feature-balloon",
        "control/x",
        "name",
        "device/vif",
        "x",
        "/local/domain/0/x",
        "/x",
    ],
)
def test_a_guest_is_refused_elsewhere(host: Host, key: str) -> None:
    assert write(host.guest, key) == "EACCES"
    assert mkdir(host.guest, key) == "EACCES"


@pytest.mark.parametrize("key", ["memory/target", "name", "vm", "control", "/local/domain/0"])
def test_a_guest_does_not_take_away_or_over_what_is_not_its_own(host: Host, key: str) -> None:
    assert rm(host.guest, key) == "EACCES"
    assert set_perms(host.guest, key, f"n{host.domid}") == "EACCES"


@pytest.mark.not_oxenstored("oxenstored finds that there is nothing to do")
@pytest.mark.parametrize("key", ["memory/uncooperative", "control/x", "x", "/local/domain/0/x"])
def test_a_guest_does_not_take_away_what_is_not_there_either(host: Host, key: str) -> None:
    assert rm(host.guest, key) == "EACCES"
    assert set_perms(host.guest, key, f"n{host.domid}") == "EACCES"


def test_a_missing_key_is_told_to_who_may_read_its_directory(host: Host) -> None:
    assert read(host.guest, "memory/nothing") == "ENOENT"
    assert read(host.guest, "data/not/there") == "ENOENT"


@pytest.mark.not_oxenstored("oxenstored tells everybody that there is no such key")
def test_whether_a_key_is_there_is_not_told_to_who_may_not_read_its_directory(host: Host) -> None:
    assert read(host.guest, "/local/domain/0/nothing") == "EACCES"


def test_relative_paths_mean_the_domains_own_directory(host: Host) -> None:
    assert read(host.guest, "memory/target") == read(host.guest, f"{host.base}/memory/target")
    host.dom0.write("/local/domain/0/x", b"1")
    assert read(host.dom0, "x") == b"1"


@pytest.mark.parametrize(
    "path", ["", "/", "//x", "/x/", "a//b", "data/.", "data/a b", "data/ä", "data/" + "p" * 2044]
)
def test_what_is_no_path_is_invalid(host: Host, path: str) -> None:
    expected = "EACCES" if path == "/" else "EINVAL"
    assert read(host.guest, path) == expected
    assert write(host.guest, path) == expected


def test_a_value_is_bytes_and_may_be_empty(host: Host) -> None:
    for value in (b"", b"\0", b"a\0b\n\xff", b"v" * 2015):
        assert write(host.guest, "data/v", value) == OK
        assert read(host.guest, "data/v") == value


def test_missing_directories_are_made(host: Host) -> None:
    assert write(host.guest, "data/a/b/c", b"x") == OK
    assert read(host.guest, "data/a/b") == b""
    assert ask(host.guest, raw_client.DIRECTORY, "data/a") == b"b\0"


def test_a_node_made_by_dom0_below_a_guests_directory_is_the_guests(host: Host) -> None:
    host.dom0.write(f"{host.base}/data/from-dom0", b"1")
    assert get_perms(host.guest, "data/from-dom0") == owner(host)
    assert write(host.guest, "data/from-dom0", b"2") == OK


def test_names_are_listed_in_the_order_they_were_made(host: Host) -> None:
    for name in ("z", "a", "m"):
        write(host.guest, f"data/{name}")
    rm(host.guest, "data/z")
    write(host.guest, "data/z")
    assert ask(host.guest, raw_client.DIRECTORY, "data") == b"a\0m\0z\0"


def test_removing_takes_everything_below_and_is_done_when_there_is_nothing(host: Host) -> None:
    write(host.guest, "data/a/b/c")
    assert rm(host.guest, "data/a") == OK
    assert read(host.guest, "data/a/b/c") == "ENOENT"
    assert rm(host.guest, "data/a") == OK
    assert rm(host.guest, "data/a/b/c") == "ENOENT"


@pytest.mark.own_host("oxenstored does it, and everything is gone")
def test_not_even_dom0_removes_everything_at_once(host: Host) -> None:
    assert ask(host.dom0, raw_client.RM, "/") == "EINVAL"


@OTHER_DOMAINS
def test_a_tree_may_be_as_deep_as_a_path_is_long(host: Host) -> None:
    deep = "/" + "/".join("a" * 1023)
    assert write(host.dom0, deep, b"1") == OK
    assert read(host.dom0, deep) == b"1"
    assert rm(host.dom0, "/a") == OK
    assert read(host.dom0, deep) == "ENOENT"
    assert write(host.guest, "data/" + "/".join("a" * 900)) == OK
    assert ask(host.dom0, RELEASE, "5") == OK
    assert read(host.dom0, f"{host.base}/data") == "ENOENT"


def test_an_owner_shares_his_node(host: Host) -> None:
    write(host.guest, "data/x")
    assert set_perms(host.guest, "data/x", f"n{host.domid}", "r0", "b0") == OK
    assert get_perms(host.guest, "data/x") == owner(host) + b"r0\0b0\0"


@pytest.mark.not_oxenstored("oxenstored says EACCES, and knows no domain that would be missing")
def test_an_owner_cannot_give_his_node_away(host: Host) -> None:
    write(host.guest, "data/x")
    assert set_perms(host.guest, "data/x", "n0", f"r{host.domid}") == "EPERM"
    assert set_perms(host.guest, "data/x", "q5") == "EINVAL"
    assert set_perms(host.dom0, f"{host.base}/data/x", "n99") == "ENOENT"


@pytest.mark.parametrize(
    ("entries", "may_read", "may_write"),
    [
        (("n0",), False, False),
        (("r0",), True, False),
        (("w0",), False, True),
        (("b0",), True, True),
        (("n0", "rN"), True, False),
        (("n0", "wN"), False, True),
        (("n0", "bN"), True, True),
        (("b0", "nN"), False, False),
        (("nN",), True, True),
    ],
)
def test_permissions_say_who_may(
    host: Host, entries: tuple[str, ...], may_read: bool, may_write: bool
) -> None:
    host.dom0.write("/shared/x", b"1")
    mine = [entry.replace("N", str(host.domid)) for entry in entries]
    host.dom0.set_permissions("/shared/x", *mine)
    assert read(host.guest, "/shared/x") == (b"1" if may_read else "EACCES")
    assert write(host.guest, "/shared/x", b"2") == (OK if may_write else "EACCES")


@OTHER_DOMAINS
def test_a_permission_does_not_pass_to_a_later_domain_of_that_number(host: Host) -> None:
    host.dom0.write("/shared/x", b"1")
    host.dom0.set_permissions("/shared/x", "n0", "r7")
    seventh = host.xenstore.introduce(7)
    with RawClient(seventh.path) as client:
        assert read(client, "/shared/x") == "EACCES"
        host.dom0.set_permissions("/shared/x", "n0", "r7")
        assert read(client, "/shared/x") == b"1"


# The wire.


def test_an_unknown_request_is_refused_and_the_connection_lives(host: Host) -> None:
    for op in (raw_client.WATCH_EVENT, raw_client.ERROR, 20, 23, 128, 0xFFFFFFFF):
        assert ask(host.guest, op, "data") == "ENOSYS"
    assert read(host.guest, "memory/target") == b"524288"


@BIG
def test_a_directory_too_long_for_one_answer_comes_in_parts(host: Host) -> None:
    names = [f"{'n' * 20}{number}" for number in range(300)]
    for name in names:
        host.dom0.write(f"/long/{name}", b"")
    assert ask(host.dom0, raw_client.DIRECTORY, "/long") == "E2BIG"
    listed = b""
    while True:
        part = ask(host.dom0, DIRECTORY_PART, "/long", str(len(listed)))
        assert isinstance(part, bytes)
        assert len(part) <= 4096
        _generation, _nul, rest = part.partition(b"\0")
        listed += rest
        if rest.endswith(b"\0\0") or rest == b"\0":
            break
    assert listed == b"".join(name.encode() + b"\0" for name in names) + b"\0"


@THE_WIRE
def test_many_requests_at_once_are_answered_in_order(host: Host) -> None:
    asked = [RawPacket(raw_client.READ, number, 0, b"memory/target\0") for number in range(64)]
    host.guest.send(b"".join(packet.encode() for packet in asked))
    answers = [host.guest._receive() for _ in asked]
    assert [answer.rq_id for answer in answers] == [packet.rq_id for packet in asked]
    assert {answer.payload for answer in answers} == {b"524288"}


def test_a_request_may_come_a_byte_at_a_time(host: Host) -> None:
    for byte in RawPacket(raw_client.READ, 9, 0, b"memory/target\0").encode():
        host.guest.send(bytes([byte]))
    assert host.guest._receive().payload == b"524288"


@THE_WIRE
def test_too_long_a_payload_ends_the_connection(host: Host) -> None:
    with host.xenstore.connect() as client:
        client.send(HEADER.pack(raw_client.READ, 1, 0, 4097) + b"x")
        with pytest.raises(ConnectionResetError):
            client._receive()
    assert read(host.dom0, "/tool") == b""


def test_the_xenbus_device_speaks_as_the_guest(host: Host) -> None:
    host.guest.close()
    device = os.open(host.guest_domain.pty_path, os.O_RDWR | os.O_NOCTTY)
    if os.isatty(device):
        tty.setraw(device)
    request = RawPacket(raw_client.READ, 3, 0, b"memory/target\0").encode()
    os.write(device, request)
    answer = b""
    while len(answer) < HEADER.size + 6:
        answer += os.read(device, 4096)
    os.close(device)
    assert answer == RawPacket(raw_client.READ, 3, 0, b"524288").encode()
