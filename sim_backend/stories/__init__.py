# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios, the agents in them, what became of them, and how that is told and drawn.

May import `host`, `guest` and what those may import.  `catalogue` finds a story by its name.
"""
