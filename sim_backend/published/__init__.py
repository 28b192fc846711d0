# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated domain for somebody else: as files and sockets, or in place of this machine.

The top floor: may import every other room of the simulation, and the sources that it stands in
for.
"""
