# SPDX-License-Identifier: GPL-2.0-or-later
"""python3 -m tests.pictures: make the pictures of the documents anew."""

from __future__ import annotations

from tests.pictures.gallery import FOLDER, pictures

if __name__ == "__main__":
    for name, svg in pictures().items():
        (FOLDER / name).write_text(svg, encoding="utf-8")
        print(f"docs/pictures/{name}")
