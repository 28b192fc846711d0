# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain that xenstored believes in, and the kernel between it and the programs inside.

The daemon meets the domain where it would in Xen: at a ring page and an event channel, here
files (see shim.c). What a guest's kernel does with them is done by a thread: it passes whole
packets on between the ring and whoever has opened `path`, a unix socket, or `pty_path`, which is
to a client what /dev/xen/xenbus is: a character device, one open after another. When the client
closes it, its watches are dropped, as the kernel would.

The ring page is `struct xenstore_domain_interface` (xen/include/public/io/xs_wire.h): 1 KiB of
requests, 1 KiB of responses, then four 32-bit indices that only ever grow.
"""

from __future__ import annotations

import mmap
import os
import pty
import select
import socket
import struct
import termios
import threading
import tty
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from tests.support.xenstored.raw_client import HEADER, RESET_WATCHES, RawClient, RawPacket

_PAGE_BYTES: Final = 4096
_RING_BYTES: Final = 1024
_REQUESTS: Final = (0, 2048, 2052)  # where the data, its consumer's and its producer's index are
_RESPONSES: Final = (1024, 2056, 2060)
_PORT_DOMAIN_DIED: Final = 1
_PORT_OF_DOMAIN_0: Final = 16
_RESET_RQ_ID: Final = 0xFFFFFFFF
_REOPEN_POLL_MS: Final = 5

_T = TypeVar("_T")


class _Ring:
    """One ring page, from the guest's side."""

    def __init__(self, path: str) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, _PAGE_BYTES)
            self._page = mmap.mmap(fd, _PAGE_BYTES)
        finally:
            os.close(fd)

    def close(self) -> None:
        self._page.close()

    def push(self, data: bytes | bytearray) -> int:
        """Put as much of `data` into the ring as fits; how much that was."""
        start, consumer_at, producer_at = _REQUESTS
        consumer, producer = self._index(consumer_at), self._index(producer_at)
        count = min(len(data), _RING_BYTES - (producer - consumer) % 2**32)
        for offset in range(count):
            self._page[start + (producer + offset) % _RING_BYTES] = data[offset]
        self._set_index(producer_at, producer + count)
        return count

    def pull(self) -> bytes:
        """Take all that is in the ring."""
        start, consumer_at, producer_at = _RESPONSES
        consumer, producer = self._index(consumer_at), self._index(producer_at)
        count = (producer - consumer) % 2**32
        data = bytes(
            self._page[start + (consumer + offset) % _RING_BYTES] for offset in range(count)
        )
        self._set_index(consumer_at, producer)
        return data

    def _index(self, at: int) -> int:
        return int.from_bytes(self._page[at : at + 4], "little")

    def _set_index(self, at: int, value: int) -> None:
        self._page[at : at + 4] = struct.pack("<I", value % 2**32)


class _Client(Protocol):
    """A program in the guest that has opened the device."""

    def fileno(self) -> int: ...

    def read(self) -> bytes:
        """What it wrote, b"" once it has closed."""
        ...

    def write(self, data: bytes | bytearray) -> int:
        """How much of `data` it took."""
        ...

    def close(self) -> None: ...


class _SocketClient:
    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> bytes:
        try:
            return self._socket.recv(_PAGE_BYTES)
        except ConnectionResetError:
            return b""

    def write(self, data: bytes | bytearray) -> int:
        return self._socket.send(data, socket.MSG_DONTWAIT)

    def close(self) -> None:
        self._socket.close()


class _PtyClient:
    """Whoever has the other end of the pseudo-terminal open; it stays when they close it."""

    def __init__(self, master: int) -> None:
        self._master = master

    def fileno(self) -> int:
        return self._master

    def read(self) -> bytes:
        try:
            return os.read(self._master, _PAGE_BYTES)
        except BlockingIOError:
            raise
        except OSError:  # EIO: nobody has it open
            return b""

    def write(self, data: bytes | bytearray) -> int:
        return os.write(self._master, data)

    def close(self) -> None:
        termios.tcflush(self._master, termios.TCIOFLUSH)


class Guest:
    """An introduced domain; `path` and `pty_path` speak as it, one client at a time."""

    def __init__(self, rundir: str, domid: int, dom0: RawClient) -> None:
        self.domid = domid
        self.path = os.path.join(rundir, f"dom{domid}.socket")
        self._ring_path = os.path.join(rundir, f"dom{domid}.ring")
        self._kick_path = os.path.join(rundir, f"dom{domid}.kick")
        self._ring = _Ring(self._ring_path)
        os.mkfifo(self._kick_path, 0o600)
        self._kick = os.open(self._kick_path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._evtchn = os.open(os.path.join(rundir, "evtchn"), os.O_RDWR | os.O_CLOEXEC)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(8)
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        self.pty_path = os.ttyname(slave)
        os.close(slave)
        self._stop_read, self._stop_write = os.pipe()
        self._idle = threading.Event()
        dom0.introduce(domid)
        self._thread = threading.Thread(target=self._serve, name=f"dom{domid}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and remove the files; the daemon is told that the domain died."""
        os.close(self._stop_write)
        self._thread.join()
        os.unlink(self._ring_path)
        self._notify(_PORT_DOMAIN_DIED)
        os.unlink(self._kick_path)
        os.unlink(self.path)
        self._listener.close()
        self._ring.close()
        for fd in (self._kick, self._evtchn, self._master, self._stop_read):
            os.close(fd)

    def wait_until_closed(self) -> None:
        """Wait until the last client's end has been noticed and its watches are dropped.

        A pseudo-terminal does not count its opens: closed and opened again at once, it may
        look as if it had been open all the time.
        """
        assert self._idle.wait(10.0)

    def _notify(self, port: int) -> None:
        os.write(self._evtchn, struct.pack("=I", port))

    def _serve(self) -> None:
        while (client := self._next_client()) is not None:
            self._idle.clear()
            try:
                self._relay(client)
            finally:
                client.close()
                self._idle.set()

    def _next_client(self) -> _Client | None:
        """Wait until somebody opens the socket or the terminal; None when it is time to end.

        That a terminal was opened cannot be waited for, only seen.
        """
        poll = select.poll()
        poll.register(self._stop_read, select.POLLIN)
        poll.register(self._listener, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll(_REOPEN_POLL_MS)}
            if self._stop_read in ready:
                return None
            if self._listener.fileno() in ready:
                return _SocketClient(self._listener.accept()[0])
            if self._terminal_is_open():
                return _PtyClient(self._master)

    def _terminal_is_open(self) -> bool:
        poll = select.poll()
        poll.register(self._master, 0)
        return not poll.poll(0)  # POLLHUP otherwise

    def _relay(self, client: _Client) -> None:
        """Pass packets on until the client closes and the daemon has dropped its watches."""
        from_client, to_daemon = bytearray(), bytearray()
        from_daemon, to_client = bytearray(), bytearray()
        poll = select.poll()
        poll.register(self._stop_read, select.POLLIN)
        poll.register(self._kick, select.POLLIN)
        closed = False
        while True:
            if not closed:
                poll.register(client, select.POLLIN | (select.POLLOUT if to_client else 0))
            ready = dict(poll.poll())
            if self._stop_read in ready:
                return
            if ready.get(self._kick):
                os.read(self._kick, _PAGE_BYTES)
            if ready.get(client.fileno(), 0) & ~select.POLLOUT:
                data = _if_any(client.read)
                if data == b"":
                    closed = True
                    poll.unregister(client)
                    to_daemon += RawPacket(RESET_WATCHES, _RESET_RQ_ID, 0, b"\0").encode()
                else:
                    from_client += data or b""
                    to_daemon += b"".join(_whole_packets(from_client))
            from_daemon += self._exchange(to_daemon)
            for packet in _whole_packets(from_daemon):
                if HEADER.unpack_from(packet)[1] == _RESET_RQ_ID:
                    return
                to_client += packet
            if to_client and not closed:
                del to_client[: _if_any(client.write, to_client) or 0]

    def _exchange(self, to_daemon: bytearray) -> bytes:
        """Move what fits of `to_daemon` into the ring, and return what the daemon had put there."""
        pushed = self._ring.push(to_daemon)
        del to_daemon[:pushed]
        pulled = self._ring.pull()
        if pushed or pulled:
            self._notify(_PORT_OF_DOMAIN_0 + self.domid)
        return pulled


def _if_any(call: Callable[..., _T], *args: Any, **kwargs: Any) -> _T | None:
    """The result of a call that must not block, None when it would or the client is gone."""
    try:
        return call(*args, **kwargs)
    except OSError:
        return None


def _whole_packets(buffer: bytearray) -> list[bytes]:
    """Take the whole packets off the front of `buffer`."""
    packets = []
    while len(buffer) >= HEADER.size:
        end = HEADER.size + HEADER.unpack_from(buffer)[3]
        if len(buffer) < end:
            break
        packets.append(bytes(buffer[:end]))
        del buffer[:end]
    return packets
