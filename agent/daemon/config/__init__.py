# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's configuration: its keys in one table, their values, the files, the text.

May import the core.
"""
