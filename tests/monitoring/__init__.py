# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests with Debian's prometheus, promtool and node_exporter, on the loopback interface."""
