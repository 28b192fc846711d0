# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Xen hypervisor under QEMU's software emulation, for tests of the agent.

`python3 -m tests.xenlab` is its command line; README.md beside this file is its manual.

build/      makes the hypervisor, the kernels and the root file system from Debian's packages
dom0/       what runs in dom0: starts guests, drives the scenarios, judges what the agent says
guest/      what runs in a guest: the command channel, an independent reading of the kernel's files
scenarios/  the scenarios by name, data and steps
"""
