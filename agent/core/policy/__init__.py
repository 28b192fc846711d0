# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon decides: one pure function of what is seen and what is remembered.

May import `facts`, `boot` and `account`; not `findings`, which are for people.
"""
