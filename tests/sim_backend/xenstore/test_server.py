# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator

import pytest

from sim_backend.xenstore.store import Store
from tests.support.simulated_xenstore import KeptSession, SimulatedXenstored
from tests.support.xenstored import raw_client
from tests.support.xenstored.libxl_tree import GuestConfig, write_guest
from tests.support.xenstored.raw_client import HEADER, RawClient, RawPacket

TARGET = "/local/domain/5/memory/target"


@pytest.fixture
def simulated() -> Iterator[SimulatedXenstored]:
    with SimulatedXenstored() as found:
        found.introduce(5)
        with found.connect() as dom0:
            write_guest(dom0, GuestConfig(5))
        yield found


def guest_path(simulated: SimulatedXenstored) -> str:
    return os.path.join(simulated.rundir, "dom5.socket")


def test_many_clients_of_one_guest_share_its_quota(simulated: SimulatedXenstored) -> None:
    with RawClient(guest_path(simulated)) as one, RawClient(guest_path(simulated)) as other:
        for number in range(129):
            one.watch("data", f"{number}")
        with pytest.raises(raw_client.RawError, match="E2BIG"):
            other.watch("data", "0")


def test_a_stalled_server_answers_once_it_goes_on(simulated: SimulatedXenstored) -> None:
    server = simulated.thread.server
    with RawClient(guest_path(simulated)) as guest:
        guest.watch("memory/target", "t")
        guest.next_event()
        simulated.thread.call(server.stall)
        guest._socket.sendall(RawPacket(raw_client.READ, 9, 0, b"memory/target\0").encode())
        simulated.thread.call(lambda: KeptSession(server.store).write(TARGET, b"1"))
        assert not select.select([guest._socket], [], [], 0)[0]
        simulated.thread.call(server.resume)
        assert guest.next_event() == ("memory/target", "t")


def test_dropped_connections_see_the_end_and_may_come_back(simulated: SimulatedXenstored) -> None:
    server = simulated.thread.server
    with RawClient(guest_path(simulated)) as guest, simulated.connect() as dom0:
        guest.watch("memory/target", "t")
        simulated.thread.call(lambda: server.drop_connections(5))
        with pytest.raises(ConnectionError):
            [guest.read("memory/target") for _ in range(2)]
        assert dom0.read(TARGET) == b"524288"
    assert server.store.domains[5].watches == 0
    with RawClient(guest_path(simulated)) as again:
        assert again.read("memory/target") == b"524288"


def test_a_domain_that_ends_takes_its_connections_along(simulated: SimulatedXenstored) -> None:
    store = simulated.thread.server.store
    with RawClient(guest_path(simulated)) as guest:
        guest.read("memory/target")
        simulated.thread.call(lambda: store.remove_domain(5))
        with pytest.raises(ConnectionError):
            [guest.read("memory/target") for _ in range(2)]
    assert not simulated.thread.server._clients


def test_a_stopped_server_refuses_and_a_new_one_remembers(simulated: SimulatedXenstored) -> None:
    server = simulated.thread.server
    with RawClient(guest_path(simulated)) as guest:
        simulated.thread.call(server.stop)
        with pytest.raises(ConnectionError):
            [guest.read("memory/target") for _ in range(2)]
    with pytest.raises(ConnectionRefusedError):
        RawClient(guest_path(simulated))
    simulated.thread.call(server.start)
    with RawClient(guest_path(simulated)) as again:
        assert again.read("memory/target") == b"524288"


def test_a_server_may_come_back_with_an_empty_store(simulated: SimulatedXenstored) -> None:
    server = simulated.thread.server
    simulated.thread.call(server.stop)
    server.store = Store()
    simulated.thread.call(server.start)
    with simulated.connect() as dom0:
        assert dom0.children("/") == ["tool"]
    with pytest.raises(ConnectionError), RawClient(guest_path(simulated)) as guest:
        [guest.read("memory/target") for _ in range(2)]


def test_a_xenbus_terminal_outlives_the_server_and_is_silent_meanwhile(
    simulated: SimulatedXenstored,
) -> None:
    server = simulated.thread.server
    device = simulated.thread.call(lambda: server.open_pty(5))
    fd = os.open(device, os.O_RDWR | os.O_NOCTTY)
    question = RawPacket(raw_client.READ, 3, 0, b"memory/target\0").encode()
    answer = RawPacket(raw_client.READ, 3, 0, b"524288").encode()
    simulated.thread.call(server.stop)
    os.write(fd, question)
    assert not select.select([fd], [], [], 0)[0]
    simulated.thread.call(server.start)
    received = b""
    while len(received) < len(answer):
        received += os.read(fd, 4096)
    os.close(fd)
    assert received == answer


def test_who_closes_the_xenbus_terminal_leaves_nothing_to_the_next(
    simulated: SimulatedXenstored,
) -> None:
    server = simulated.thread.server
    device = simulated.thread.call(lambda: server.open_pty(5))
    set_watch = RawPacket(raw_client.WATCH, 1, 0, b"memory/target\0t\0").encode()
    question = RawPacket(raw_client.READ, 2, 0, b"name\0").encode()
    answer = RawPacket(raw_client.READ, 2, 0, b"guest").encode()
    fd = os.open(device, os.O_RDWR | os.O_NOCTTY)
    os.write(fd, set_watch + question[:7])
    assert os.read(fd, 4096)
    os.close(fd)
    with simulated.connect() as dom0:
        while simulated.thread.call(lambda: server.store.domains[5].watches):
            dom0.read(TARGET)
    fd = os.open(device, os.O_RDWR | os.O_NOCTTY)
    os.write(fd, question)
    received = b""
    while len(received) < len(answer):
        received += os.read(fd, 4096)
    os.close(fd)
    assert received == answer


def test_a_guest_that_never_reads_does_not_hold_up_others(simulated: SimulatedXenstored) -> None:
    with RawClient(guest_path(simulated)) as lazy, simulated.connect() as dom0:
        lazy._socket.setblocking(False)
        request = RawPacket(raw_client.WRITE, 1, 0, b"data/x\0" + b"v" * 2000).encode()
        read = RawPacket(raw_client.READ, 2, 0, b"data/x\0").encode()
        lazy._socket.sendall(request)
        with contextlib.suppress(BlockingIOError):  # the server reads no more
            while True:
                lazy._socket.send(read * 50)
        assert dom0.read(TARGET) == b"524288"


def test_a_connection_that_ends_inside_a_packet_is_forgotten(
    simulated: SimulatedXenstored,
) -> None:
    with RawClient(guest_path(simulated)) as guest:
        guest.watch("data", "t")
        guest._socket.sendall(HEADER.pack(raw_client.READ, 1, 0, 100) + b"half")
    with simulated.connect() as dom0:
        dom0.read("/tool")
        assert simulated.thread.call(lambda: simulated.thread.server.store.domains[5].watches) == 0
