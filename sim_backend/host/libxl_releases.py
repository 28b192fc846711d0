# SPDX-License-Identifier: GPL-2.0-or-later
"""What releases of libxl differ in, as far as a guest's memory and its keys go.

Read in xen-project/xen, tools/libs/light, tags 4.14.0, 4.17.0, 4.20.0 and c447b7308b13
(2026-08-20).

Another difference shows in nothing: until 4.20 `xl mem-set` asked Xen to back on-demand pages of a
PVH dom0, too, which has none (489a7c50c0).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class LibxlRelease(NamedTuple):
    """One release.

    Attributes:
        mem_max_writes_static_max: `xl mem-max` tells xenstore, since 77bbea1baf (2022-05-20);
            before, it only moves the hypervisor's limit (libxl_mem.c, libxl_domain_setmaxmem).
        subtracts_unset_videoram: video memory that the configuration does not set (-1) is
            subtracted from the first target like any other (libxl__get_targetmem_fudge).
    """

    mem_max_writes_static_max: bool
    subtracts_unset_videoram: bool


XEN_4_14: Final = LibxlRelease(False, subtracts_unset_videoram=True)
XEN_4_17: Final = LibxlRelease(True, subtracts_unset_videoram=True)
XEN_4_20: Final = XEN_4_17
XEN_MASTER: Final = LibxlRelease(True, subtracts_unset_videoram=False)
