# SPDX-License-Identifier: GPL-2.0-or-later
"""Records what the host sees of a guest, and what the guest sees of itself, while things happen.

Leaves `record.json` beside the other evidence of a scenario:

    host    [{"at": 1795376098.8, "target_kib": 204800, "has_mib": 439, "floor_kib": null}, ...]
    guest   [{"at": ..., "current_kib": ..., "available_kib": ..., ...}, ...]
    events  [{"at": ..., "text": "xl mem-set 200"}, ...]
"""

from __future__ import annotations

import json
import threading
import time
from types import TracebackType
from typing import Any, Final

from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.scene import PYTHON, Scene
from tests.xenlab.guest.samples import BEGUN
from tests.xenlab.guest.xenbus import XenBus

PERIOD_S: Final = 1.0
FILE: Final = "record.json"
BEGINS_WITHIN_S: Final = 120.0
ANSWERS_WITHIN_S: Final = 300.0
AT_MOST_S: Final = 1800.0


class Recorder:
    """A context manager around what is to be recorded."""

    def __init__(self, scene: Scene) -> None:
        """Prepare to watch the domain of a scene."""
        self._scene = scene
        self._began = 0.0
        self._sampler = -1
        self._over = threading.Event()
        self._host: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Recorder:
        domain = self._scene.domain
        domain.run(["rm", "-f", BEGUN])
        argv = [*PYTHON, "tests.xenlab.guest.samples"]
        self._sampler = domain.start(argv, timeout_s=AT_MOST_S)
        end = time.monotonic() + BEGINS_WITHIN_S
        while domain.run(["test", "-e", BEGUN]).status:
            assert time.monotonic() < end, "the guest takes no samples"
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if kind is None:
            self._write()

    def event(self, text: str) -> None:
        """Note what happens now."""
        self._events.append({"at": round(time.time(), 2), "text": text})

    def until(self, seconds: float) -> None:
        """Wait until so many seconds of the recording are over."""
        time.sleep(max(0.0, self._began + seconds - time.monotonic()))

    def _watch(self) -> None:
        domid = self._scene.domain.domid
        home = f"/local/domain/{domid}"
        with XenBus() as bus:
            while not self._over.wait(PERIOD_S):
                sample = {
                    "at": round(time.time(), 2),
                    "target_kib": _number(bus.read(f"{home}/memory/target")),
                    "floor_kib": _number(bus.read(f"{home}/data/balloon/floor_kb")),
                    "has_mib": toolstack.listed_mib(domid),
                }
                self._host.append(sample)

    def _write(self) -> None:
        self._scene.domain.run(["rm", BEGUN], timeout_s=ANSWERS_WITHIN_S)
        done = self._scene.domain.finish(self._sampler, ANSWERS_WITHIN_S)
        assert done.status == 0, f"the guest's sampler: {done}"
        guest = [json.loads(line) for line in done.text.splitlines()]
        record = {"host": self._host, "guest": guest, "events": self._events}
        self._scene.folder.mkdir(parents=True, exist_ok=True)
        (self._scene.folder / FILE).write_text(json.dumps(record) + "\n")


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None
