# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that people reported, rebuilt as captures, and what is right of each.

`NAME.json` holds `files` as a capture has them and `expected`: where the figures come from, what
is right, and what must be neither found nor said.  Free and available memory, zoneinfo and uptime
are invented in all of them.
"""
