# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated xenstored: the store as pure values, its wire protocol, and a server of sockets.

It behaves as the C daemon of Xen 4.17 does; the contract suite runs the same tests on both.

Knows no guest: imports nothing of the project but itself and `sim_backend.inotify`.
"""
