# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings of the real toolstack programs: inputs, and what the unchanged code answered.

README.md beside it says what is in each file and how they were made.
"""
