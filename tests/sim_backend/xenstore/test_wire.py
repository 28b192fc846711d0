# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.xenstore import packets
from sim_backend.xenstore.packets import Packet, PacketReader
from sim_backend.xenstore.store import Store
from sim_backend.xenstore.wire import Connection
from tests.support.simulated_xenstore import KeptSession, libxl_guest

TARGET = "/local/domain/5/memory/target"


def guest_store() -> Store:
    store = Store()
    libxl_guest(store)
    return store


def request(kind: int, *strings: str, number: int = 1, tail: bytes = b"") -> bytes:
    return Packet(kind, number, 0, packets.join_strings(list(strings)) + tail).encode()


def connected(store: Store, domid: int) -> Connection:
    """One whose news nobody waits for."""
    return Connection(store, domid, lambda _connection: None)


def sent(connection: Connection) -> list[Packet]:
    """Everything the connection has to say, taken as a client that reads all of it."""
    reader = PacketReader()
    while connection.has_output:
        data = connection.data_to_send()
        connection.sent(len(data))
        reader.feed(data)
    found = []
    while (packet := reader.next()) is not None:
        found.append(packet)
    return found


def test_a_watch_is_acknowledged_before_its_first_event() -> None:
    connection = connected(guest_store(), 5)
    connection.receive(request(packets.WATCH, "memory/target", "t"))
    assert [packet.kind for packet in sent(connection)] == [packets.WATCH, packets.WATCH_EVENT]


def test_the_event_of_ones_own_write_comes_before_the_answer() -> None:
    connection = connected(guest_store(), 5)
    connection.receive(request(packets.WATCH, "data", "t"))
    sent(connection)
    connection.receive(request(packets.WRITE, "data/x", tail=b"1"))
    assert [packet.kind for packet in sent(connection)] == [packets.WATCH_EVENT, packets.WRITE]


def test_an_event_that_waits_already_is_not_queued_again() -> None:
    store = guest_store()
    guest, dom0 = connected(store, 5), KeptSession(store)
    guest.receive(request(packets.WATCH, "memory/target", "t"))
    for _ in range(100):
        dom0.write(TARGET, b"1")
    assert len(sent(guest)) == 2
    dom0.write(TARGET, b"1")
    assert len(sent(guest)) == 1


def test_an_event_half_sent_still_counts_as_waiting() -> None:
    store = guest_store()
    guest, dom0 = connected(store, 5), KeptSession(store)
    guest.receive(request(packets.WATCH, "memory/target", "t"))
    sent(guest)
    dom0.write(TARGET, b"1")
    guest.sent(3)
    dom0.write(TARGET, b"2")
    rest = guest.data_to_send()
    assert len(rest) == len(request(packets.WATCH_EVENT, "memory/target", "t")) - 3


def test_a_guest_that_does_not_read_its_answers_is_not_served_any_more() -> None:
    connection = connected(guest_store(), 5)
    connection.receive(request(packets.READ, "memory/target") * 30)
    assert not connection.wants_input
    reader = PacketReader()
    reader.feed(connection.data_to_send(1 << 20))
    assert sum(1 for _ in iter(reader.next, None)) == 20
    assert len(sent(connection)) == 20
    connection.go_on()
    assert len(sent(connection)) == 10
    assert connection.wants_input


def test_a_guest_waits_for_those_who_do_not_read_of_its_changes() -> None:
    store = guest_store()
    dom0, guest = connected(store, 0), connected(store, 5)
    dom0.receive(request(packets.WATCH, "/local/domain/5/data", "t"))
    for number in range(20):
        guest.receive(request(packets.WRITE, f"data/{number}", tail=b""))
        sent(guest)
    assert not guest.wants_input
    sent(dom0)
    assert guest.wants_input


def test_dom0_may_leave_as_much_lying_as_it_likes() -> None:
    connection = connected(guest_store(), 0)
    connection.receive(request(packets.READ, TARGET) * 300)
    assert connection.wants_input
    assert len(sent(connection)) == 300


def test_closing_gives_up_watches_and_transactions() -> None:
    store = guest_store()
    connection = connected(store, 5)
    connection.receive(request(packets.WATCH, "data", "t"))
    connection.receive(request(packets.TRANSACTION_START, ""))
    connection.close()
    assert (store.domains[5].watches, store.domains[5].transactions) == (0, 0)
    KeptSession(store, 5).write("data/x", b"")
    assert not connection.has_output


def test_a_domain_that_is_gone_gets_no_answers() -> None:
    store = guest_store()
    connection = connected(store, 5)
    store.remove_domain(5)
    connection.receive(request(packets.WATCH, "data", "t"))
    assert not connection.wants_input
    assert not connection.has_output
    store.check()


def test_a_payload_beyond_4096_bytes_breaks_the_connection() -> None:
    connection = connected(guest_store(), 5)
    connection.receive(packets.HEADER.pack(packets.READ, 1, 0, 4097))
    assert connection.broken
    assert not connection.has_output


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=10), st.lists(st.integers(0, 23), max_size=10))
def test_no_bytes_break_the_store(noise: list[bytes], kinds: list[int]) -> None:
    store = guest_store()
    connection = connected(store, 5)
    for kind, payload in zip(kinds, noise):
        connection.receive(Packet(kind, 1, len(payload) % 3, payload).encode())
    for data in noise:
        connection.receive(data)
    sent(connection)
    connection.close()
    store.check()


@given(st.binary(max_size=4096), st.integers(1, 50))
def test_packets_come_out_as_they_went_in_however_they_are_cut(payload: bytes, size: int) -> None:
    packet = Packet(packets.WRITE, 7, 3, payload)
    data = packet.encode() * 2
    reader, found = PacketReader(), []
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
        while (next_packet := reader.next()) is not None:
            found.append(next_packet)
    assert found == [packet, packet]
