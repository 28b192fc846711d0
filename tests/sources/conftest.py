# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the tests of what reads the kernel and xenstore."""

from tests.support.scripted_session import device_peer, peer, session, socket_peer

__all__ = ["device_peer", "peer", "session", "socket_peer"]
