# SPDX-License-Identifier: GPL-2.0-or-later
"""The only openers of /proc, /sys and xenstore; one module per kernel interface."""
