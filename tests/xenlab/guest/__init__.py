# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in a guest (and, where it only looks, in dom0 as well). Standard library only."""
