# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of a service, and the program as one file."""
