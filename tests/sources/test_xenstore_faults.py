# SPDX-License-Identifier: GPL-2.0-or-later
"""A session against a peer that is late, wrong, silent, malformed or far too busy.

Many of these end pyxs's own client in a hang, a spin or a dead thread; each is here to show
that they do not reach the session built on it.
"""

import errno
import gc
import os
import resource
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.sources.xenstore_errors import (
    KeyAbsent,
    KeyDenied,
    QuotaExceeded,
    StoreBusy,
    XenstoreLost,
    XenstoreRefused,
)
from agent.sources.xenstore_session import WatchEvent, XenstoreSession
from tests.support.scripted_peer import Kind, ScriptedPeer
from tests.support.xenstored.raw_client import (
    DIRECTORY,
    ERROR,
    HEADER,
    READ,
    UNWATCH,
    WATCH,
    WATCH_EVENT,
    WRITE,
)

SHORT_S = 0.03
TARGET = WatchEvent("memory/target", "t")


@pytest.fixture(params=["socket", "device"])
def peer(request: pytest.FixtureRequest) -> Iterator[ScriptedPeer]:
    kind: Kind = request.param
    with ScriptedPeer(kind) as peer:
        yield peer


@pytest.fixture
def socket_peer() -> Iterator[ScriptedPeer]:
    with ScriptedPeer() as peer:
        yield peer


@pytest.fixture
def device_peer() -> Iterator[ScriptedPeer]:
    with ScriptedPeer("device") as peer:
        yield peer


def connected(peer: ScriptedPeer, timeout_s: float = 5.0) -> XenstoreSession:
    session = XenstoreSession(peer.path, timeout_s)
    session.connect()
    peer.accept()
    return session


@pytest.fixture
def session(peer: ScriptedPeer) -> Iterator[XenstoreSession]:
    session = connected(peer)
    yield session
    session.close()


def watching(peer: ScriptedPeer, timeout_s: float = 5.0) -> XenstoreSession:
    """A session with a live watch, whatever its next request id is."""
    session = connected(peer, timeout_s)
    rq_id = 1 + answer_to_the_read_before(peer, rq_id=1)
    peer.packet(WATCH, b"OK\0", rq_id)
    session.watch("memory/target", "t")
    return session


def answer_to_the_read_before(peer: ScriptedPeer, rq_id: int) -> int:
    """Over a device a READ goes before each WATCH and UNWATCH; how many that are."""
    if peer.kind == "socket":
        return 0
    peer.packet(READ, b"1", rq_id)
    return 1


def next_rq_id(peer: ScriptedPeer) -> int:
    return peer.received()[-1].rq_id + 1


# Answers that are not for us.


def test_answers_to_somebody_else_are_dropped(session: XenstoreSession, peer: ScriptedPeer) -> None:
    for rq_id in (0, 2, 7, 2**32 - 1):
        peer.packet(READ, b"wrong", rq_id)
        peer.packet(ERROR, b"ENOENT\0", rq_id)
    peer.packet(READ, b"right", 1)

    assert session.read("name") == b"right"


def test_the_late_answer_to_a_request_given_up_is_not_taken_for_another(
    device_peer: ScriptedPeer,
) -> None:
    session = connected(device_peer, SHORT_S)
    with pytest.raises(XenstoreLost, match="no answer"):
        session.read("name")
    session.connect()
    device_peer.packet(READ, b"late", 1)
    device_peer.packet(READ, b"right", 2)

    assert session.read("name") == b"right"
    session.close()


def test_a_stray_answer_outside_any_request_is_dropped(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    peer.packet(READ, b"stray", 99)

    assert session.events() == []
    assert not session.wait(0)
    assert session.connected


def test_an_endless_flood_of_stray_answers_ends_at_the_deadline(socket_peer: ScriptedPeer) -> None:
    session = connected(socket_peer, timeout_s=0.1)
    stop = threading.Event()

    def flood() -> None:
        stray = HEADER.pack(READ, 99, 0, 0) * 200
        while not stop.is_set():
            try:
                os.write(socket_peer._fd, stray)
            except BlockingIOError:
                continue
            except OSError:
                return

    flooder = threading.Thread(target=flood)
    flooder.start()
    try:
        with pytest.raises(XenstoreLost):
            session.read("name")
    finally:
        stop.set()
        flooder.join()


def test_an_answer_that_was_there_in_time_counts_even_if_we_come_late(
    session: XenstoreSession, peer: ScriptedPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the domain was paused, or this process starved, in the middle of a request."""
    peer.packet(READ, b"right", 1)
    clock_s = iter([0.0, 1000.0])
    monkeypatch.setattr("agent.sources.xenstore_router.time.monotonic", lambda: next(clock_s))

    assert session.read("name") == b"right"


# Answers that make no sense.

MALFORMED: dict[str, bytes] = {
    "unknown type": HEADER.pack(23, 1, 0, 0),
    "type of a huge number": HEADER.pack(2**32 - 1, 1, 0, 0),
    "4097 bytes": HEADER.pack(READ, 1, 0, 4097) + b"x" * 4097,
    "4 GiB": HEADER.pack(READ, 1, 0, 2**32 - 1),
    "oversize event": HEADER.pack(WATCH_EVENT, 0, 0, 2**31),
    "another type": HEADER.pack(WRITE, 1, 0, 3) + b"OK\0",
    "another transaction": HEADER.pack(READ, 1, 9, 1) + b"x",
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_traffic_closes_the_session(
    session: XenstoreSession, peer: ScriptedPeer, data: bytes
) -> None:
    peer.send(data)

    with pytest.raises(XenstoreLost):
        session.read("name")
    assert not session.connected


@pytest.mark.parametrize("data", [MALFORMED["4 GiB"], MALFORMED["text"]])
def test_malformed_traffic_met_while_taking_events_closes_the_session_too(
    session: XenstoreSession, peer: ScriptedPeer, data: bytes
) -> None:
    peer.send(data)

    with pytest.raises(XenstoreLost, match="malformed"):
        session.events()
    assert not session.connected


def test_an_acknowledgement_that_is_none_closes_the_session(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    peer.packet(WRITE, b"KO\0")

    with pytest.raises(XenstoreLost, match="something else than OK"):
        session.write("data/x", b"1")
    assert not session.connected


@pytest.mark.parametrize("answer", [b"OK", b"OK\0", b"OK\0\0"])
def test_an_acknowledgement_may_end_as_it_likes(
    session: XenstoreSession, peer: ScriptedPeer, answer: bytes
) -> None:
    peer.packet(WRITE, answer)

    session.write("data/x", b"1")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (b"", []),
        (b"a\0b\0", ["a", "b"]),
        (b"a\0b", ["a", "b"]),
        (b"\xff\x1b[2J\0", ["\\xff\x1b[2J"]),
    ],
)
def test_names_of_a_directory_are_text_whatever_they_are(
    session: XenstoreSession, peer: ScriptedPeer, names: bytes, expected: list[str]
) -> None:
    peer.packet(DIRECTORY, names)

    assert session.list("data") == expected


# Errors.


@pytest.mark.parametrize(
    ("name", "kind", "errno_name"),
    [
        (b"ENOENT\0", KeyAbsent, "ENOENT"),
        (b"ENOENT", KeyAbsent, "ENOENT"),
        (b"EACCES\0", KeyDenied, "EACCES"),
        (b"EPERM\0", KeyDenied, "EPERM"),
        (b"EROFS\0", KeyDenied, "EROFS"),
        (b"EQUOTA\0", QuotaExceeded, "EQUOTA"),
        (b"ENOSPC\0", QuotaExceeded, "ENOSPC"),
        (b"E2BIG\0", QuotaExceeded, "E2BIG"),
        (b"EAGAIN\0", StoreBusy, "EAGAIN"),
        (b"EBUSY\0", StoreBusy, "EBUSY"),
        (b"EINVAL\0", XenstoreRefused, "EINVAL"),
        (b"ENOSYS\0", XenstoreRefused, "ENOSYS"),
        (b"EWHATEVER\0", XenstoreRefused, "EWHATEVER"),
        (b"", XenstoreRefused, "EUNKNOWN"),
        (b"\0\0", XenstoreRefused, "EUNKNOWN"),
        (b"E\x1b[2J\0", XenstoreRefused, "EUNKNOWN"),
        (b"E" + b"X" * 4000, XenstoreRefused, "EUNKNOWN"),
        ("EÉ".encode(), XenstoreRefused, "EUNKNOWN"),
    ],
)
def test_an_error_is_told_by_its_kind_and_the_session_goes_on(
    session: XenstoreSession,
    peer: ScriptedPeer,
    name: bytes,
    kind: type[XenstoreRefused],
    errno_name: str,
) -> None:
    peer.packet(ERROR, name)
    with pytest.raises(XenstoreRefused) as refused:
        session.write("data/x", b"1")

    assert type(refused.value) is kind
    assert refused.value.errno_name == errno_name
    assert str(refused.value) == f"write data/x: refused with {errno_name}"
    peer.packet(READ, b"5", 2)
    assert session.read("domid") == b"5"


# Silence and partial packets.


@pytest.mark.parametrize("size", [0, 1, 15, 16, 19])
def test_half_a_packet_holds_nothing_up_longer_than_the_deadline(
    peer: ScriptedPeer, size: int
) -> None:
    session = connected(peer, SHORT_S)
    answer = HEADER.pack(READ, 1, 0, 4) + b"1234"
    if size:
        peer.send(answer[:size])

    assert session.events() == []
    with pytest.raises(XenstoreLost, match="no answer"):
        session.read("name")
    session.close()
    assert not session.connected


def test_a_packet_in_pieces_is_put_together(session: XenstoreSession, peer: ScriptedPeer) -> None:
    answer = HEADER.pack(READ, 1, 0, 4) + b"1234"
    for byte in answer[:-1]:
        peer.send(bytes([byte]))
        assert session.events() == []
    peer.send(answer[-1:])

    assert session.read("name") == b"1234"


@pytest.mark.parametrize("sent", [b"", b"abc", HEADER.pack(READ, 1, 0, 10) + b"abc"])
@pytest.mark.parametrize("call", ["read", "events", "wait"])
def test_a_peer_that_hangs_up_is_a_loss_whatever_came_before(
    session: XenstoreSession, peer: ScriptedPeer, sent: bytes, call: str
) -> None:
    if sent:
        peer.send(sent)
    peer.hang_up()

    calls: dict[str, Callable[[], object]] = {
        "read": lambda: session.read("name"),
        "events": session.events,
        "wait": lambda: session.wait(10.0),
    }
    with pytest.raises(XenstoreLost):
        calls[call]()
    assert not session.connected
    session.close()


def test_a_peer_that_takes_nothing_ends_in_a_timeout(socket_peer: ScriptedPeer) -> None:
    session = connected(socket_peer, SHORT_S)
    filled = 0
    try:
        while True:
            filled += os.write(session.fileno(), b"\0" * 65536)
    except BlockingIOError:
        assert filled

    with pytest.raises(XenstoreLost, match="write data/x not taken within"):
        session.write("data/x", b"x" * 4000)
    assert not session.connected


# Events.


def test_the_first_event_may_come_before_the_answer_to_its_watch(peer: ScriptedPeer) -> None:
    session = connected(peer)
    before = answer_to_the_read_before(peer, rq_id=1)
    peer.event(b"memory/target", b"t")
    peer.packet(WATCH, b"OK\0", 1 + before)
    session.watch("memory/target", "t")

    assert session.events() == [TARGET]
    session.close()


def test_a_refused_watch_leaves_nothing_behind(peer: ScriptedPeer) -> None:
    session = connected(peer)
    before = answer_to_the_read_before(peer, rq_id=1)
    peer.event(b"memory/target", b"t")
    peer.packet(ERROR, b"EACCES\0", 1 + before)
    with pytest.raises(KeyDenied):
        session.watch("memory/target", "t")
    peer.event(b"memory/target", b"t")

    assert session.events() == []
    session.close()


def test_an_older_kernels_answer_to_a_watch_has_no_request_id(device_peer: ScriptedPeer) -> None:
    session = connected(device_peer)
    device_peer.packet(READ, b"1", 1)
    device_peer.packet(WATCH, b"OK\0", 0)
    session.watch("memory/target", "t")
    device_peer.packet(READ, b"1", 3)
    device_peer.packet(UNWATCH, b"OK\0", 0)
    session.unwatch("memory/target", "t")
    session.close()


def test_over_a_socket_an_answer_without_our_id_is_never_ours(socket_peer: ScriptedPeer) -> None:
    session = connected(socket_peer)
    socket_peer.packet(WATCH, b"OK\0", 0)
    socket_peer.packet(ERROR, b"EACCES\0", 1)

    with pytest.raises(KeyDenied):
        session.watch("memory/target", "t")
    session.close()


def test_an_older_kernels_events_carry_whatever_request_id(peer: ScriptedPeer) -> None:
    """Its header is not initialised (watch_fired(), Linux 4.4), so it may even be ours."""
    session = watching(peer)
    rq_id = next_rq_id(peer)
    peer.packet(WATCH_EVENT, b"memory/target\0t\0", rq_id, tx_id=77)
    peer.packet(READ, b"1", rq_id)

    assert session.read("memory/target") == b"1"
    assert session.events() == [TARGET]
    session.close()


ODD_EVENTS = [b"", b"\0", b"memory/target", b"/\0x\0", b"/\0t\0", b"a\0t\0b\0c\0", b"\0" * 100]


def test_odd_events_neither_spin_nor_close_the_session(peer: ScriptedPeer) -> None:
    session = watching(peer)
    rq_id = next_rq_id(peer)
    for payload in ODD_EVENTS:
        peer.packet(WATCH_EVENT, payload, 0)

    assert session.events() == [TARGET]
    peer.packet(READ, b"1", rq_id)
    assert session.read("memory/target") == b"1"
    session.close()


def test_an_event_queued_before_its_watch_was_taken_off_is_dropped(peer: ScriptedPeer) -> None:
    session = watching(peer)
    rq_id = next_rq_id(peer)
    for path in (b"memory/target", b"/local/domain/5/memory/target"):
        peer.event(path, b"t")
    rq_id += answer_to_the_read_before(peer, rq_id)
    peer.packet(UNWATCH, b"OK\0", rq_id)
    session.unwatch("memory/target", "t")
    peer.event(b"memory/target", b"t")

    assert session.events() == []
    session.close()


def test_a_storm_of_events_is_taken_in_bounded_parts_and_held_in_bounded_memory(
    socket_peer: ScriptedPeer,
) -> None:
    session = watching(socket_peer)
    sent = 0
    while sent < 20_000:
        try:
            socket_peer.event(b"memory/target", b"t")
            socket_peer.event(b"memory/target/%d" % sent, b"t")
            sent += 2
        except BlockingIOError:
            assert 1 <= len(session.events()) <= 70

    while session.wait(0):
        assert 1 <= len(session.events()) <= 70
    assert session.connected
    session.close()


def test_a_storm_that_never_ends_does_not_keep_the_caller(
    socket_peer: ScriptedPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = watching(socket_peer)
    event = HEADER.pack(WATCH_EVENT, 0, 0, 16) + b"memory/target\0t\0"
    reads = iter(range(1000))

    def more(most_bytes: int) -> bytes:
        next(reads)  # ends the test when it is asked for ever
        return event * (most_bytes // len(event))

    monkeypatch.setattr(session._router._transport, "read", more)

    assert session.events() == [TARGET]
    assert session.wait(0)
    session.close()


def test_an_answer_behind_a_storm_of_events_is_found(socket_peer: ScriptedPeer) -> None:
    session = watching(socket_peer)
    rq_id = next_rq_id(socket_peer)
    for _ in range(200):
        socket_peer.event(b"memory/target", b"t")
    socket_peer.packet(READ, b"1", rq_id)

    assert session.read("memory/target") == b"1"
    assert session.events() == [TARGET]
    session.close()


# Requests on the wire.


def test_a_request_is_one_packet_with_a_fresh_id_and_no_transaction(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    for rq_id in (1, 2, 3):
        peer.packet(WRITE, b"OK\0", rq_id)
        session.write("data/x", b"\xff\0")

    assert [tuple(packet) for packet in peer.received()] == [
        (WRITE, rq_id, 0, b"data/x\0\xff\0") for rq_id in (1, 2, 3)
    ]


def test_a_request_too_large_for_the_device_is_refused_unsent(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    largest = 4096 - 16 - len("data/x\0")
    with pytest.raises(QuotaExceeded) as refused:
        session.write("data/x", b"x" * (largest + 1))
    assert refused.value.errno_name == "E2BIG"
    assert peer.received() == []

    peer.packet(WRITE, b"OK\0", 2)
    session.write("data/x", b"x" * largest)
    assert len(peer.received()[0].payload) == 4080


def test_request_ids_begin_again_after_the_last_without_a_zero(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    session._router._rq_id = 2**32 - 3
    for rq_id in (2**32 - 2, 2**32 - 1, 1, 2):
        peer.packet(READ, b"1", rq_id)
        assert session.read("domid") == b"1"


def let_write_fail(session: XenstoreSession, number: int, patch: pytest.MonkeyPatch) -> None:
    """As the kernel's xenbus does with a request that it does not pass on."""

    def write(data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    patch.setattr(session._router._transport, "write", write)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EINVAL, XenstoreRefused),
        (errno.EEXIST, XenstoreRefused),
        (errno.EACCES, KeyDenied),
        (errno.ENOENT, KeyAbsent),
        (errno.E2BIG, QuotaExceeded),
        (errno.ENOSPC, QuotaExceeded),
        (errno.ENOMEM, StoreBusy),
    ],
)
def test_an_errno_of_write_on_the_device_is_an_answer_not_a_loss(
    device_peer: ScriptedPeer,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[XenstoreRefused],
) -> None:
    session = connected(device_peer)
    with monkeypatch.context() as patch:
        let_write_fail(session, number, patch)
        with pytest.raises(XenstoreRefused) as refused:
            session.watch("memory/target", "t")

    assert type(refused.value) is kind
    assert refused.value.errno_name == errno.errorcode[number]
    device_peer.packet(READ, b"1", session._router._rq_id + 1)
    assert session.read("domid") == b"1"
    session.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENODEV, errno.EBADF, errno.EFAULT])
def test_other_errnos_of_the_device_are_a_loss(
    device_peer: ScriptedPeer, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    session = connected(device_peer)
    let_write_fail(session, number, monkeypatch)

    with pytest.raises(XenstoreLost, match="cannot send"):
        session.read("domid")
    assert not session.connected


def test_no_errno_of_a_socket_is_an_answer(
    socket_peer: ScriptedPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = connected(socket_peer)
    let_write_fail(session, errno.EINVAL, monkeypatch)

    with pytest.raises(XenstoreLost, match="cannot send"):
        session.read("domid")


def test_a_request_interrupted_in_the_middle_closes_the_session(
    session: XenstoreSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(data: bytes) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(session._router._transport, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.read("domid")
    assert not session.connected


# The process around it.


def test_a_descriptor_beyond_1023_works(peer: ScriptedPeer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip(f"only {hard} descriptors allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    null = os.open("/dev/null", os.O_RDONLY)
    spare = [os.dup(null) for _ in range(1030)]
    try:
        session = connected(peer)
        assert session.fileno() > 1023
        peer.packet(READ, b"1")
        assert session.read("domid") == b"1"
        session.close()
    finally:
        for fd in (null, *spare):
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_forked_child_is_refused_and_the_parent_not_disturbed(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    child = os.fork()
    if child == 0:
        try:
            session.read("domid")
        except XenstoreLost:
            session.close()
            os._exit(0)
        os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    peer.packet(READ, b"5")
    assert session.read("domid") == b"5"
    assert [packet.rq_id for packet in peer.received()] == [1]


def test_a_working_directory_that_is_gone_does_not_matter(
    session: XenstoreSession, peer: ScriptedPeer, tmp_path: Path
) -> None:
    here = Path.cwd()
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    try:
        peer.packet(READ, b"5")
        assert session.read("domid") == b"5"
        peer.packet(DIRECTORY, b"a\0", 2)
        assert session.list("data") == ["a"]
    finally:
        os.chdir(here)


def test_a_session_has_no_thread_and_one_descriptor(peer: ScriptedPeer) -> None:
    threads, fds = threading.active_count(), len(os.listdir("/proc/self/fd"))
    session = XenstoreSession(peer.path)
    assert len(os.listdir("/proc/self/fd")) == fds
    session.connect()

    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == fds + 1
    session.close()
    assert len(os.listdir("/proc/self/fd")) == fds


def test_a_session_dropped_without_close_keeps_nothing(peer: ScriptedPeer) -> None:
    fds = len(os.listdir("/proc/self/fd"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(5):
            XenstoreSession(peer.path).connect()
        gc.collect()

    assert len(os.listdir("/proc/self/fd")) == fds


def test_the_end_of_the_peer_leaves_no_descriptor_open(peer: ScriptedPeer) -> None:
    session = connected(peer)
    fds = len(os.listdir("/proc/self/fd"))
    peer.hang_up()
    with pytest.raises(XenstoreLost):
        session.read("domid")

    assert len(os.listdir("/proc/self/fd")) == fds - 2


def test_nothing_is_read_or_allocated_by_a_length_the_peer_claims(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    asked: list[int] = []
    transport = session._router._transport
    assert transport is not None
    read = transport.read

    def recorded(most_bytes: int) -> bytes | None:
        asked.append(most_bytes)
        return read(most_bytes)

    transport.read = recorded  # type: ignore[method-assign]
    peer.send(struct.pack("=IIII", READ, 1, 0, 0xFFFFFFF0))
    with pytest.raises(XenstoreLost):
        session.read("domid")

    assert asked
    assert max(asked) <= 4096 + 16
