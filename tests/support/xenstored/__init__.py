# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's real xenstored without Xen, with true guest domains, for tests.

`fetch.sh` gets the daemon and builds the libraries that stand in for Xen (`shim.c`);
`daemon.Xenstored` runs it in a directory of its own; `raw_client.RawClient` speaks to it as
dom0; `guest.Guest` is a domain with its own permissions and quotas, reachable through a unix
socket and through a pseudo-terminal in the place of /dev/xen/xenbus; `libxl_tree` writes what
a toolstack writes for it; `fixtures` hands all that to pytest.
"""
