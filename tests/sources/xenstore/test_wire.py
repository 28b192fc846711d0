# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets come out of a byte stream whole, in order and of bounded size, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sources.xenstore.wire import HEADER, MOST_PAYLOAD_BYTES, Frame, Framer

U32 = st.integers(min_value=0, max_value=2**32 - 1)
FRAMES = st.builds(Frame, st.integers(0, 22), U32, U32, st.binary(max_size=200))


def encode(frame: Frame) -> bytes:
    return HEADER.pack(frame.op, frame.rq_id, frame.tx_id, len(frame.payload)) + frame.payload


def drain(framer: Framer) -> list[Frame]:
    frames = []
    while some := framer.next_frames(3):
        frames += some
    return frames


def feed_in_slices(framer: Framer, stream: bytes, slice_bytes: int) -> list[Frame]:
    frames = []
    while stream:
        size = min(slice_bytes, framer.room)
        framer.feed(stream[:size])
        stream = stream[size:]
        frames += drain(framer)
    return frames


@given(st.lists(FRAMES, max_size=20), st.integers(1, 5000))
def test_packets_survive_any_way_of_being_cut(frames: list[Frame], slice_bytes: int) -> None:
    stream = b"".join(map(encode, frames))

    assert feed_in_slices(Framer(), stream, slice_bytes) == frames


def test_the_sample_of_the_documentation_is_read() -> None:
    framer = Framer()
    framer.feed(bytes.fromhex("02000000 07000000 00000000 06000000 353234323838"))

    assert framer.next_frames() == [Frame(op=2, rq_id=7, tx_id=0, payload=b"524288")]
    assert framer.next_frames() == []


def test_a_packet_of_the_largest_size_fits() -> None:
    frame = Frame(2, 1, 0, b"x" * MOST_PAYLOAD_BYTES)

    assert feed_in_slices(Framer(), encode(frame), 1 << 20) == [frame]


@pytest.mark.parametrize("size", [MOST_PAYLOAD_BYTES + 1, 2**31, 2**32 - 1])
def test_an_oversize_packet_is_refused_from_its_header_alone(size: int) -> None:
    framer = Framer()
    framer.feed(HEADER.pack(2, 1, 0, size))

    with pytest.raises(ValueError, match=f"{size} bytes"):
        framer.next_frames()


@pytest.mark.parametrize("op", [23, 128, 2**32 - 1])
def test_a_packet_of_unknown_type_is_refused(op: int) -> None:
    framer = Framer()
    framer.feed(HEADER.pack(op, 1, 0, 0))

    with pytest.raises(ValueError, match=f"type {op}"):
        framer.next_frames()


@given(st.binary(max_size=20_000), st.integers(1, 5000))
def test_whatever_comes_no_more_than_one_packet_is_held(stream: bytes, slice_bytes: int) -> None:
    framer = Framer()
    while stream:
        size = min(slice_bytes, framer.room)
        assert size > 0
        framer.feed(stream[:size])
        stream = stream[size:]
        try:
            drain(framer)
        except ValueError:
            return
        assert framer.room > 0
