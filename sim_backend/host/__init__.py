# SPDX-License-Identifier: GPL-2.0-or-later
"""Who asks guests for memory: libxl, xend, XAPI with squeezed, Qubes with qmemman.

May import `guest` and what that may import.
"""
