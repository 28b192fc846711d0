# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest will have before it boots, and what a target would do to one that runs.

The top floor: may import every other room of the core.
"""
