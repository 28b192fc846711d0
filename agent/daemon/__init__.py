# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon: one process, one thread, asleep unless something happens."""
