# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the Debian packages and lives through their life in a Debian root of their own."""
