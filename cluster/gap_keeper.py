"""Keeps one symbol's order whole: asks REST for what the order waits for, and gives up in time.

    keeper = GapKeeper(order, filler, policy, feed_on, store_late)
    feed_on(keeper.accept(events))      # at once, before anything else is awaited
    if order.full:
        await keeper.room()
    await keeper.close()

What REST brings goes to `feed_on` page by page, from a task of the keeper's own on the same event loop:
at most one walk is under way. A hole that can't be filled in time goes out as a `Gap`; its trades are
asked for again later, and what comes then goes to `store_late`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from cluster.event_order import EventOrder, FedEvent, Hole
from cluster.gap_filler import GapFiller, GapNotFilled
from cluster.gap_policy import GapPolicy
from cluster.races import unless
from cluster.venues.base import Event, Trade

_LONGEST_REPAIR_PAUSE_S = 3600.0
_S = 1_000_000_000


class GapKeeper:
    """For one symbol and one event loop. Its task begins with the first `accept` and ends with `close`.

    What `feed_on` and `store_late` raise ends the task; the next `accept` or `room` raises it again.
    """

    def __init__(
        self,
        order: EventOrder,
        filler: GapFiller,
        policy: GapPolicy,
        feed_on: Callable[[list[FedEvent]], None],
        store_late: Callable[[list[Trade]], None],
    ) -> None:
        self.problem = ""
        """Why REST did not bring what was asked for last; empty when it did."""
        self.longest_wait_s = 0.0
        """The longest time that events were held."""
        self._order = order
        self._filler = filler
        self._policy = policy
        self._feed_on = feed_on
        self._store_late = store_late
        self._task: asyncio.Task[None] | None = None
        self._needed = asyncio.Event()
        self._roomy = asyncio.Event()
        # Times of the event loop's clock: since when events are held, since when the first hole is the
        # first (and when it opened, by which it is known), and when REST last brought a trade.
        self._held_since_s: float | None = None
        self._first_hole_ns = 0
        self._first_since_s = 0.0
        self._progress_s = float("-inf")
        self._catch_up_began_s: float | None = None
        self._catch_up_not_before_s = 0.0
        self._repair_at_s: float | None = None
        self._repair_pause_s = policy.repair_every_s
        self._repaired_to = -1

    def accept(self, events: Iterable[Event]) -> list[FedEvent]:
        """Take what the feed hands over; gives what is to be fed on now, before anything else is awaited."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        self._check()
        fed = self._order.accept(events)
        self._look()
        if self._held_since_s is not None or self._order.catch_up_due:
            self._needed.set()
        return fed

    async def room(self) -> None:
        """Wait until the order holds less than it may."""
        while self._order.full and self._task is not None:
            self._roomy.clear()
            await self._roomy.wait()
            self._check()
            if self._task.done():
                return

    async def close(self) -> None:
        """End the task and the REST connection. What is held stays held; nobody was told of it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._filler.close()

    @property
    def caught_up(self) -> bool:
        """Nothing is waited for: every trade that we can know of has been fed on."""
        return not self.reason

    @property
    def reason(self) -> str:
        """What is waited for, in words; empty when nothing is."""
        hole, why = self._order.waiting, f" ({self.problem})" if self.problem else ""
        if hole is not None and hole.by_time:
            return f"what was missed is being asked for{why}"
        if hole is not None:
            return f"trades {hole.first_id} to {hole.last_id} are missing{why}"
        if self._order.interrupted:
            return "the connection is being renewed"
        if self._catch_up_due and self._catch_up_not_before_s == 0.0:
            return f"what was missed is being asked for{why}"
        return ""

    def report(self) -> dict[str, Any]:
        """How the filling goes, as plain values."""
        return {
            "recovering": self.reason,
            "problem": self.problem,
            "longest_wait_s": self.longest_wait_s,
            "rest_requests": self._filler.requests,
            "rest_failures": dict(self._filler.failures),
        }

    def _check(self) -> None:
        """Raise what has ended the task, if anything but `close` has."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    @property
    def _catch_up_due(self) -> bool:
        return self._policy.catch_up and self._order.catch_up_due

    async def _run(self) -> None:
        try:
            while True:
                await self._until_due()
                if self._order.waiting is not None:
                    await self._fill()
                elif self._catch_up_due:
                    await self._catch_up()
                else:
                    await self._repair()
        finally:
            self._filler.close()
            self._roomy.set()

    async def _until_due(self) -> None:
        """Return when there is something to do."""
        loop = asyncio.get_running_loop()
        while True:
            self._needed.clear()
            due_s = self._due_s(loop.time())
            wait_s = None if due_s is None else due_s - loop.time()
            if wait_s is not None and wait_s <= 0.0:
                return
            try:
                async with asyncio.timeout(wait_s):
                    await self._needed.wait()
            except TimeoutError:
                continue

    def _due_s(self, now_s: float) -> float | None:
        """When there will be something to do, by the event loop's clock; None if nothing is in sight."""
        hole = self._order.waiting
        if hole is not None:
            if self._order.full or hole.by_time:
                return now_s
            return now_s + self._policy.reorder_wait_s - self._age_s(hole, now_s)
        if self._catch_up_due:
            if self._catch_up_began_s is None:
                self._catch_up_began_s = now_s
                self._catch_up_not_before_s = 0.0
            return max(self._catch_up_began_s + self._policy.catch_up_after_s, self._catch_up_not_before_s)
        self._catch_up_began_s = None
        self._catch_up_not_before_s = 0.0
        if self._order.lost and self._repair_at_s is None:
            self._repair_at_s = now_s + self._repair_pause_s
        return self._repair_at_s

    def _age_s(self, hole: Hole, now_s: float) -> float:
        """How long ago a hole was opened. `Hole.opened_ns` says it, but on a clock that may be set: the
        age is never more than the time that events are held, nor less than that hole is the first."""
        if hole.opened_ns != self._first_hole_ns:
            self._first_hole_ns, self._first_since_s = hole.opened_ns, now_s
        held_s = now_s - (now_s if self._held_since_s is None else self._held_since_s)
        said_s = (self._filler.clock_ns() - hole.opened_ns) / _S
        return min(held_s, max(said_s, now_s - self._first_since_s))

    def _left_s(self, age_s: float) -> float:
        """How long REST may still be asked for something that is waited for since `age_s`."""
        idle_s = min(age_s, asyncio.get_running_loop().time() - self._progress_s)
        return min(self._policy.fill_at_most_s - age_s, self._policy.fill_within_s - idle_s)

    async def _fill(self) -> None:
        """Ask for one page of what the first hole lacks, and feed on what that allows; or give it up."""
        order = self._order
        hole, wanted = order.waiting, order.wanted
        if hole is None or wanted is None:
            return
        left_s = self._left_s(self._age_s(hole, asyncio.get_running_loop().time()))
        order.declare_gap()
        try:
            if left_s <= 0.0:
                raise GapNotFilled("", self.problem or "there is no time left")
            if hole.by_time:
                page, more = await self._filler.recent(hole.since_ns, left_s)
            else:
                page, more = await self._filler.page(hole.first_id, wanted.last_id, left_s), False
        except GapNotFilled as error:
            self._give_up(hole, error.reason)
            return
        self.problem = ""
        self._feed(order.fill(page, more), from_rest=True)
        if not hole.by_time:
            self._give_up(hole, "the venue no longer has them", only_from=hole.first_id)

    def _give_up(self, hole: Hole, reason: str, only_from: int | None = None) -> None:
        """Give a hole up that is still there; with `only_from`, if it still begins at that id."""
        now = self._order.waiting
        if now is None or now.opened_ns != hole.opened_ns or only_from not in (None, now.first_id):
            return
        self.problem = reason
        self._repair_at_s = None
        self._repair_pause_s = self._policy.repair_every_s
        self._feed(self._order.give_up())

    async def _catch_up(self) -> None:
        """Ask for one page of what came after the last trade; the end of it ends the catch-up."""
        order, loop = self._order, asyncio.get_running_loop()
        began_s = max(self._catch_up_began_s or 0.0, self._catch_up_not_before_s)
        try:
            page = await self._filler.page(order.last_id + 1, None, self._left_s(loop.time() - began_s))
        except GapNotFilled as error:
            # A trade that comes meanwhile shows what is missing; without one, ask again later.
            self.problem = error.reason
            self._catch_up_not_before_s = loop.time() + self._policy.repair_every_s
            return
        self.problem = ""
        self._feed(order.catch_up(page), from_rest=True)
        if len(page) < self._filler.page_size:
            order.caught_up()

    async def _repair(self) -> None:
        """Ask again for trades that were given up: a bounded number of pages, each gap in its turn.

        Breaks off when something is waited for.
        """
        # False sorts first: the gaps after the last one asked for, then those before it.
        todo = sorted(self._order.lost, key=lambda gap: gap[0] <= self._repaired_to)
        found, pages = False, self._policy.repair_pages
        for first_id, last_id in todo:
            at_id = self._first_lost(first_id, last_id)
            while at_id is not None and pages:
                pages -= 1
                try:
                    page = await unless(
                        self._needed, self._filler.page(at_id, None, self._policy.request_timeout_s)
                    )
                except GapNotFilled as error:
                    self.problem, page, pages = error.reason, [], 0
                if page is None:
                    return
                self._repaired_to = last_id
                trades = self._order.repair(page)
                if not trades:
                    break
                found = True
                self._store_late(trades)
                at_id = self._first_lost(at_id, last_id)
            if not pages:
                break
        pause_s = self._policy.repair_every_s if found else 2.0 * self._repair_pause_s
        self._repair_pause_s = min(pause_s, max(_LONGEST_REPAIR_PAUSE_S, self._policy.repair_every_s))
        self._repair_at_s = None

    def _first_lost(self, first_id: int, last_id: int) -> int | None:
        """The first of these ids that is still missing."""
        overlapping = (gap for gap in self._order.lost if gap[1] >= first_id and gap[0] <= last_id)
        gap = next(overlapping, None)
        return None if gap is None else max(gap[0], first_id)

    def _feed(self, fed: list[FedEvent], from_rest: bool = False) -> None:
        if fed and from_rest:
            self._progress_s = asyncio.get_running_loop().time()
        self._look()
        if fed:
            self._feed_on(fed)
        if not self._order.full:
            self._roomy.set()

    def _look(self) -> None:
        """After the order has taken something: late trades are stored, and holding is timed."""
        if self._order.late:
            self._store_late(self._order.take_late())
        waiting = self._order.waiting is not None
        if waiting and self._held_since_s is None:
            self._held_since_s = asyncio.get_running_loop().time()
        elif not waiting and self._held_since_s is not None:
            held_s = asyncio.get_running_loop().time() - self._held_since_s
            self.longest_wait_s = max(self.longest_wait_s, held_s)
            self._held_since_s = None
