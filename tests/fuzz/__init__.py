# SPDX-License-Identifier: GPL-2.0-or-later
"""Every parser of data from outside, fed by a fuzzer: `python -m tests.fuzz --help`."""
