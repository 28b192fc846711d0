# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon at rest: what stays of it while there is nothing to do, and how it comes back."""
