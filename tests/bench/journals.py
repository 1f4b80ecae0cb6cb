"""What stands around an ingest in a benchmark: a real tick log in a folder of its own, or nothing at all."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from cluster.storage import frames
from cluster.storage.frames import Header
from cluster.storage.log_policy import LogPolicy
from cluster.storage.tick_log import TickLog
from features.engine import EngineSpec, Step, SymbolEngine
from features.ticks import Ticks

_LOOK_EVERY_S = 0.25
Fsync = Literal["interval", "always", "never"]


class Nothing:
    """A journal that keeps nothing."""

    def __init__(self) -> None:
        self.next_sequence = 0

    def append_ticks(self, ticks: Ticks, counters: tuple[int, ...]) -> int:
        """Count them."""
        self.next_sequence += len(ticks)
        return self.next_sequence - len(ticks)

    def append_output(self, sequence: int, step: Step) -> None:
        """Drop it."""


class NoEngine:
    """Stands where the engine is and does nothing."""

    def __init__(self, symbol: str) -> None:
        self._nothing = SymbolEngine(EngineSpec(symbol)).update(Ticks.from_columns(0))

    def update(self, ticks: Ticks) -> Any:
        """Drop the ticks."""
        return self._nothing


@contextlib.contextmanager
def tick_log(symbol: str, fsync: Fsync) -> Iterator[TickLog]:
    """A tick log with the default settings, begun, in a folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="tickcast-log-"))
    try:
        log = TickLog(folder, LogPolicy(fsync=fsync))
        log.begin(_header(symbol))
        try:
            yield log
        finally:
            log.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def keep_house(log: TickLog) -> None:
    """Sync the log from a thread and close its full segments, as a symbol's actor does, until cancelled."""
    synced_s = time.monotonic()
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        now_s = time.monotonic()
        if log.policy.fsync == "interval" and now_s - synced_s >= log.policy.fsync_every_s:
            synced_s = now_s
            await asyncio.to_thread(log.sync)
        log.roll_if_due(now_s)


def file_system() -> str:
    """What kind of file system the logs lie on, like "ext4"; "" where that can't be told."""
    import psutil

    folder = str(Path(tempfile.gettempdir()).resolve())
    mounts = [one for one in psutil.disk_partitions(all=True) if folder.startswith(one.mountpoint)]
    return max(mounts, key=lambda one: len(one.mountpoint)).fstype if mounts else ""


def _header(symbol: str) -> Header:
    return Header(
        version=frames.VERSION,
        venue="binance",
        symbol=symbol,
        epoch=1,
        first_sequence=0,
        created_ns=0,
        epoch_sequence=0,
        epoch_ns=0,
        fresh=True,
        engine=EngineSpec(symbol).to_json(),
        features=(),
    )
