# SPDX-License-Identifier: GPL-2.0-or-later
"""Unpacks a bzImage, so that creating a guest need not do it under emulation.

The header is described in the kernel's Documentation/arch/x86/boot.rst: `setup_sects` at 0x1f1,
the magic `HdrS` at 0x202, `payload_offset` and `payload_length` at 0x248 (since protocol 2.08),
counted from the start of the protected-mode code. The compressors but xz append the length of
what they packed, four bytes, which the decompressor must not see.
"""

from __future__ import annotations

import lzma
import struct
import subprocess
import zlib

from tests.xenlab.errors import LabError


def unpack_bzimage(image: bytes) -> bytes:
    """Return the ELF file inside a bzImage.

    Raises:
        LabError: this is no bzImage or its compression is none that Debian has used.
    """
    if image[0x202:0x206] != b"HdrS":
        raise LabError("the kernel image has no boot header")
    protected_mode = ((image[0x1F1] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[protected_mode + offset : protected_mode + offset + length]
    elf = _decompress(payload)
    if not elf.startswith(b"\x7fELF"):
        raise LabError("the kernel image does not contain an ELF file")
    return elf


def _decompress(payload: bytes) -> bytes:
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        packed = payload[:-4]
        return subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=True).stdout
    raise LabError(f"unknown compression of a kernel image: {payload[:6].hex()}")
