# SPDX-License-Identifier: GPL-2.0-or-later
"""One simulated guest: its kernel, balloon driver, memory, boot, files and keys.

May import `clock`, `hypervisor`, `agent.core`.
"""
