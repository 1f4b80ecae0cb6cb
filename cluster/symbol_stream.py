"""One symbol's stream on this machine: ordered, logged, learned from, and saved for a restart.

    stream = SymbolStream(settings, venue, clock_ns, on_step)
    await stream.open(bring_from_lake)      # goes on where the stream stopped
    await stream.consume(events)            # what the feed hands over
    await stream.keep_house()               # checkpoints, segments, disk: until cancelled
    await stream.close()

Sits between the feed and the answers; knows neither. For one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.checkpoint import Checkpoint
from cluster.config import on_this_machine
from cluster.errors import LogBusy, LogFull
from cluster.event_order import FedEvent
from cluster.gap_filler import GapFiller
from cluster.gap_keeper import GapKeeper
from cluster.gap_policy import GapPolicy
from cluster.ingest import Ingest
from cluster.restart import Restored, restore
from cluster.storage import frames, segments
from cluster.storage.log_policy import LogPolicy
from cluster.storage.tick_log import TickLog
from cluster.trade_order import order_of
from cluster.venues.base import Event, Trade, Venue
from features.engine import EngineSpec, Step, SymbolEngine
from features.model_slots import Shelf
from features.ticks import TickBuffer, Ticks

_LOG_WAIT_S = 60.0
_HOUSE_EVERY_S = 0.25
_BACKLOG_EVERY_S = 2.0

OnStep = Callable[[Step, int], None]
"""Called with what a batch has brought, and our clock when its first live event came (0: none)."""
Bring = Callable[[Path, int], Awaitable[None]]
"""Brings a symbol's newest state from the lake into a folder whose newest epoch is the one given."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What a stream needs to know beside its venue."""

    engine: EngineSpec
    venue: str
    rest_url: str | None
    gaps: GapPolicy
    log: LogPolicy
    log_root: str
    """Folder of all tick logs; may name environment variables of the machine."""
    epoch: int
    """Higher than that of any actor of this symbol before; one that is not is raised."""
    last_home: str
    """Where the actor before this one had its log; empty if nobody knows."""


class SymbolStream:
    """The stream of one symbol."""

    def __init__(
        self,
        settings: StreamSettings,
        venue: Venue,
        clock_ns: Callable[[], int],
        on_step: OnStep,
        shelf: Shelf | None = None,
    ) -> None:
        """`shelf` has the models that swaps name."""
        self._settings = settings
        self._venue = venue
        self._clock_ns = clock_ns
        self._on_step = on_step
        self.symbol = settings.engine.symbol
        self.folder = segments.symbol_folder(on_this_machine(settings.log_root), settings.venue, self.symbol)
        self.home = f"{socket.gethostname()}:{self.folder}"
        self._shelf = shelf
        self.engine = SymbolEngine(settings.engine, shelf)
        self.order = order_of(venue, self.symbol, settings.gaps)
        self.problems: list[str] = []
        """What was found damaged at the start."""
        self.replayed = 0
        """Ticks replayed from the log at the start."""
        self.epoch = settings.epoch
        self.opened = False
        self.save_answers: Callable[[], bytes] = bytes
        self.checkpoint_ns = 0
        self._disk_problem = ""
        self._log: TickLog | None = None
        self._saved_at = (-1, -1)
        self._save_due_s = 0.0
        self._saving = asyncio.Lock()
        self._notes: list[frames.Note] = []
        self._late: list[Trade] = []

    async def open(self, bring: Bring) -> Restored:
        """Take the log, restore what it holds and open a new segment.

        Raises LogBusy when another process keeps the log, StoreError when the newest state may be in the
        lake and the lake can't be asked.
        """
        log = self._log = await self._take_log()
        try:
            found = await self._restored(log, bring)
            log.begin(self._header(found))
        except BaseException:
            log.close()
            raise
        self.engine, self.order = found.engine, found.order
        self.problems, self.replayed = found.problems, found.replayed
        gaps = self._settings.gaps
        self.ingest = Ingest(self.engine, log)
        self.ingest.received_ns = found.received_ns
        self.ingest.log_again(found.unlogged)
        self.keeper = GapKeeper(
            self.order,
            GapFiller(
                self._venue,
                self.symbol,
                self._settings.rest_url,
                gaps,
                self._clock_ns,
                random.Random(self.symbol),
            ),
            gaps,
            self._feed_on,
            self._store_late,
        )
        # What the process before had made and not written comes first: no checkpoint may hide it.
        self.ingest.feed((), self.order.counters(), live=False)
        self.opened = True
        return found

    async def consume(self, events: list[Event]) -> None:
        """Take in what the feed hands over. Returns when there is room for more."""
        received_ns = getattr(events[0], "received_ns", 0)
        self._take_in(self.keeper.accept(events), received_ns)
        while self.ingest.problem:
            # The venue waits meanwhile, and what it can't keep for us is fetched afterwards.
            await asyncio.sleep(self._settings.log.retry_s)
            self._take_in((), 0)
        if self.order.full:
            await self.keeper.room()

    def heartbeat(self, now_ns: int, delay_ns: int) -> None:
        """Close the open bar if the venue's clock has passed its end by `delay_ns`."""
        if not self.keeper.caught_up:
            return  # a bar must not close before the trades that belong into it have come
        step = self.ingest.heartbeat(now_ns, delay_ns, self.order.counters())
        if step is not None:
            self._on_step(step, 0)

    def swap(self, slot: int, version: int) -> bool:
        """Let a model that is at hand on the shelf be in a slot from here on, 0 for none.

        False where the log takes nothing now: try again. Raises ModelRefused or DataError before anything
        has happened.
        """
        model = self.engine.shelf.get(version) if version else None
        self.engine.models.check(slot, model)
        if self.engine.models.version(slot) == version:
            return True
        self._write_record()
        step = self.ingest.swap(self._clock_ns(), slot, version, self.order.counters())
        # What a restart would need the lake's models for is kept short.
        self._save_due_s = 0.0
        return step is not None

    async def keep_house(self) -> None:
        """Checkpoints, segments, the disk and the backlog, until cancelled."""
        policy, synced_s, counted_s = self._settings.log, 0.0, 0.0
        while True:
            await asyncio.sleep(_HOUSE_EVERY_S)
            now_s = time.monotonic()
            if policy.fsync == "interval" and now_s - synced_s >= policy.fsync_every_s:
                synced_s = now_s
                await asyncio.to_thread(self.log.sync)
            if now_s - counted_s >= _BACKLOG_EVERY_S:
                counted_s = now_s
                await self._watch_backlog()
            await self._save_if_due(now_s)

    async def close(self) -> None:
        """Save the state and close the log, so that the archiver takes it."""
        if not self.opened:
            if self._log is not None:
                self._log.close()
            return
        await self.keeper.close()
        self._write_record()
        await self._save()
        self.log.close()

    @property
    def log(self) -> TickLog:
        """The log; there from `open` on."""
        assert self._log is not None, "open comes first"
        return self._log

    @property
    def trouble(self) -> str:
        """What keeps the stream from running as it should; empty when nothing does."""
        if not self.opened:
            return "its state is being restored"
        return self.ingest.problem or self._disk_problem

    def report(self) -> dict[str, Any]:
        """Continuity and storage as plain values."""
        if not self.opened:
            return {}
        return {
            "continuity": self.order.report()
            | {"recovering": self.keeper.reason, "worst_lateness_s": self._worst_lateness_s()},
            "storage": {
                "epoch": self.epoch,
                "next_sequence": self.log.next_sequence,
                "log_bytes": self.log.backlog_bytes(),
                "checkpoint_ns": self.checkpoint_ns,
                "replayed": self.replayed,
                "problem": self.trouble,
                "problems": self.problems,
            },
        }

    async def _restored(self, log: TickLog, bring: Bring) -> Restored:
        """What the log holds, after the lake was asked for something newer where there may be."""
        recovery = await asyncio.to_thread(log.recover)
        if self._settings.last_home != self.home or recovery.empty:
            await bring(self.folder, recovery.last_epoch)
            recovery = await asyncio.to_thread(log.recover)
        self.epoch = max(self._settings.epoch, recovery.last_epoch + 1)
        spec, gaps = self._settings.engine, self._settings.gaps
        return await asyncio.to_thread(
            restore, recovery, spec, lambda: order_of(self._venue, self.symbol, gaps), self._shelf
        )

    def _header(self, found: Restored) -> frames.Header:
        now_ns = self._clock_ns()
        return frames.Header(
            version=frames.VERSION,
            venue=self._settings.venue,
            symbol=self.symbol,
            epoch=self.epoch,
            first_sequence=found.next_sequence,
            created_ns=now_ns,
            epoch_sequence=found.next_sequence,
            epoch_ns=now_ns,
            fresh=found.fresh,
            engine=self._settings.engine.to_json(),
            features=self.engine.feature_set.columns,
        )

    def _worst_lateness_s(self) -> float | None:
        """How much longer than the fastest of the last minute the slowest trade took to get here."""
        lag_ns = self.ingest.clock.lag_ns
        return None if lag_ns is None else max(0, self.ingest.worst_lag_ns - lag_ns) / 1e9

    async def _take_log(self) -> TickLog:
        deadline = time.monotonic() + _LOG_WAIT_S
        while True:
            try:
                return TickLog(self.folder, self._settings.log)
            except LogBusy:
                # The actor before this one is still on its way out.
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.05)

    def _feed_on(self, events: list[FedEvent]) -> None:
        """What the gap keeper lets through later than the feed handed it over."""
        self._take_in(events, 0)

    def _take_in(self, events: list[FedEvent] | tuple[()], received_ns: int) -> None:
        self._write_record()
        step = self.ingest.feed(events, self.order.counters(), bool(received_ns))
        if step is not None:
            self._on_step(step, received_ns)

    def _store_late(self, trades: list[Trade]) -> None:
        """Trades that came too late for the stream go to the lake all the same."""
        self._late += trades
        self._write_record()

    def _write_record(self) -> None:
        """Write what happened to the continuity, before the ticks that it led to; try again when full."""
        made, late = self.order.take_notes(), self.order.take_late()
        if not (made or late or self._notes or self._late):
            return
        now_ns = self._clock_ns()
        self._notes += [
            frames.Note(now_ns, one.event.value, one.first_id, one.last_id, one.trades) for one in made
        ]
        self._late += late
        with contextlib.suppress(LogFull):
            # The trades first: a note that says they are stored must not outlive them.
            if self._late:
                self.log.append_late(_as_ticks(self._late))
                self._late = []
            if self._notes:
                self.log.append_notes(self._notes)
                self._notes = []

    async def _watch_backlog(self) -> None:
        log, limit = self.log, self._settings.log.limit_bytes
        waiting = await asyncio.to_thread(log.backlog_bytes)
        log.blocked = (
            f"{waiting / 2**20:.0f} MiB wait for the lake, the limit is {limit / 2**20:.0f} MiB"
            if waiting > limit
            else ""
        )

    async def _save_if_due(self, now_s: float) -> None:
        try:
            # Also while nothing can be taken in: a closed segment goes to the lake and makes room.
            rolled = self.log.roll_if_due(now_s)
        except LogFull as error:
            self._disk_problem = str(error)
            return
        if rolled or now_s >= self._save_due_s:
            self._save_due_s = now_s + self._settings.log.checkpoint_every_s
            await self._save()

    async def _save(self) -> None:
        """Write a checkpoint of this moment."""
        async with self._saving:
            if self.ingest.problem or self._late or self._notes:
                return  # something that the state knows is not in the log yet
            sequence, saved_at = self.log.next_sequence, (self.log.next_sequence, self.log.writes)
            if saved_at == self._saved_at:
                return
            data = Checkpoint.of(self.engine, self.order.snapshot(), self.save_answers()).pack()
            try:
                await asyncio.to_thread(self._write_checkpoint, sequence, data)
            except OSError as error:
                self._disk_problem = f"no checkpoint can be written: {error.strerror}"
                return
            self._disk_problem = ""
            self._saved_at, self.checkpoint_ns = saved_at, self._clock_ns()

    def _write_checkpoint(self, sequence: int, data: bytes) -> None:
        """In a thread. A state must not outlive the ticks that led to it, also when the power fails."""
        self.log.force()
        segments.write_checkpoint(self.folder, sequence, self.epoch, data)


def _as_ticks(trades: list[Trade]) -> Ticks:
    buffer = TickBuffer(len(trades))
    for one in trades:
        buffer.trade(one.ts_ns, one.received_ns, one.trade_id, one.price, one.size, one.side)
    return buffer.take()
