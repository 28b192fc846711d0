# SPDX-License-Identifier: GPL-2.0-or-later
"""What was read, as values, and what everybody knows: units, pages, kernel releases.

The ground of the core: imports nothing of the project but itself.
"""
