# SPDX-License-Identifier: GPL-2.0-or-later
"""What a boot does with a map: the memory map it builds, what it costs, whether it succeeds.

May import `facts`.
"""
