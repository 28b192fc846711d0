# SPDX-License-Identifier: GPL-2.0-or-later
"""What dom0 knows of its guests, and how it takes memory from one without hurting it.

May import `facts`.
"""
