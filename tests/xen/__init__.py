# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent on a real Xen hypervisor, and tests of the lab that makes it possible."""
