# SPDX-License-Identifier: GPL-2.0-or-later
"""Small breaks of the core, drawn at random: whether a test notices each."""
