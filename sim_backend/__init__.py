# SPDX-License-Identifier: GPL-2.0-or-later
"""A Xen domain made of arithmetic and a virtual clock.

It stands where the kernel, the hypervisor and the toolstack stand for the real agent: the balloon
driver as a model per kernel regime, the boot that builds the memory map, the guest's own memory,
the host with its limits, and the toolstacks that write `memory/target`.  Calibrated against real
guests; docs/simulation.md says what was seen and what is derived.

Floors, each built on those below it: clock, hypervisor, inotify and xenstore; guest; host; stories;
published.
"""
