"""Asks a venue's REST endpoint for trades, page by page: patient with what time heals, and no faster than
the venue allows. What to do with the trades is `gap_keeper`'s business.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

from cluster.backoff import TIME_HEALS, Backoff, retry_after_s
from cluster.errors import VenueError
from cluster.gap_policy import GapPolicy
from cluster.rest_client import RestClient
from cluster.venues.base import HttpRequest, Trade, Venue
from features.errors import TickcastError


class GapNotFilled(TickcastError):
    """Trades could not be fetched. `reason` says why; `refused`: asking again in the same way won't help."""

    def __init__(self, symbol: str, reason: str, refused: bool = False) -> None:
        Exception.__init__(self, symbol, reason, refused)
        self.symbol = symbol
        self.reason = reason
        self.refused = refused
        self.problem = f"missing trades can't be fetched: {reason}"
        self.where = symbol
        self.fix = "check venue.rest_url and the venue's limits" if refused else ""


class PageBudget:
    """A bucket of requests: `burst` at once after a quiet time, `per_s` in the long run.

    `now_s` is any clock that only goes forward.
    """

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = float(burst)
        self._at_s: float | None = None

    def wait_s(self, now_s: float) -> float:
        """How long a request has to wait; 0 when it may be made now."""
        if self._at_s is not None:
            self._left = min(float(self._burst), self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        return max(0.0, (1.0 - self._left) / self._per_s)

    def note(self) -> None:
        """Called when a request is made."""
        self._left -= 1.0


class _AskAgain(Exception):
    """A request has failed in a way that time may heal: what kind of failure, and in words."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason


class GapFiller:
    """The REST side of one symbol. One request at a time; for one event loop.

    `clock_ns` stamps the trades. Waits and time limits run on the event loop's clock.
    """

    def __init__(
        self,
        venue: Venue,
        symbol: str,
        rest_url: str | None,
        policy: GapPolicy,
        clock_ns: Callable[[], int],
        rng: random.Random,
    ) -> None:
        self.clock_ns = clock_ns
        self.page_size = venue.facts.backfill_page
        """The most trades that one answer holds."""
        self.requests = 0
        self.failures: Counter[str] = Counter()
        """Requests that did not bring what was asked for, by kind."""
        self._venue = venue
        self._symbol = symbol
        self._rest_url = rest_url
        self._policy = policy
        self._client = RestClient(policy.request_timeout_s, policy.proxy)
        self._backoff = Backoff(0.0, policy.backoff_base_s, policy.backoff_max_s, policy.jitter, rng)
        self._budget = PageBudget(policy.pages_per_s, policy.page_burst)
        self._not_before_s = 0.0
        self._problem = ""
        self._idle: asyncio.TimerHandle | None = None

    async def page(self, first_id: int, last_id: int | None, within_s: float) -> list[Trade]:
        """Trades from `first_id` on, oldest first, as many as one answer holds.

        With `last_id` they are known to exist: an answer without any is asked for again, since a venue's
        REST may lag behind its socket, and what comes is at least one trade, though maybe a later one.
        Without, an empty page is the end. Raises GapNotFilled after `within_s`, or at once when the venue
        refuses.
        """
        limit = self.page_size
        if last_id is not None:
            limit = min(limit, last_id - first_id + 1)
        request = self._venue.backfill_request(self._symbol, first_id, limit, self._rest_url)
        trades = await self._insist(request, within_s, None if last_id is None else first_id)
        return [trade for trade in trades if trade.trade_id >= first_id]

    async def recent(self, since_ns: int, within_s: float) -> tuple[list[Trade], bool]:
        """Trades from venue time `since_ns` on, and whether there may be more than one answer holds.

        For venues with `recent_request`. Raises GapNotFilled like `page`.
        """
        request = self._venue.recent_request(self._symbol, since_ns, self.page_size, self._rest_url)
        if request is None:
            raise GapNotFilled(self._symbol, "the venue serves no trades by time", refused=True)
        trades = await self._insist(request, within_s, None)
        return trades, len(trades) >= self.page_size

    def close(self) -> None:
        """Close the connection. It opens again with the next request."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._client.close()

    async def _insist(self, request: HttpRequest, within_s: float, first_id: int | None) -> list[Trade]:
        """Ask until there is an answer; with `first_id`, until it holds a trade from there on."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + within_s
        self._backoff.reset()
        while True:
            wait_s = max(self._not_before_s - loop.time(), self._budget.wait_s(loop.time()), 0.0)
            if loop.time() + wait_s >= deadline_s:
                raise GapNotFilled(self._symbol, self._problem or "the venue's limits leave no time to ask")
            await asyncio.sleep(wait_s)
            try:
                trades = await self._ask(request, deadline_s)
                if first_id is None or any(trade.trade_id >= first_id for trade in trades):
                    self._problem = ""
                    return trades
                raise _AskAgain("nothing", "the venue has none of them")
            except _AskAgain as failure:
                if not self._problem or loop.time() < deadline_s:
                    # A request that our own time limit cut short says nothing about the venue.
                    self._problem = failure.reason
                self.failures[failure.kind] += 1
                self._not_before_s = max(self._not_before_s, loop.time() + self._backoff.next_s())

    async def _ask(self, request: HttpRequest, deadline_s: float) -> list[Trade]:
        """One request. Raises _AskAgain, or GapNotFilled when the venue refuses."""
        loop = asyncio.get_running_loop()
        if self._idle is not None:
            self._idle.cancel()
        self._budget.note()
        self.requests += 1
        try:
            async with asyncio.timeout_at(deadline_s):
                answer = await self._client.get(request)
        except TimeoutError:
            raise _AskAgain("timeout", "the venue did not answer in time") from None
        except OSError as error:
            raise _AskAgain("network", str(error)) from None
        self._idle = loop.call_later(self._policy.idle_close_s, self.close)
        if 200 <= answer.status < 300:
            return self._read(answer.body)
        asked_s = retry_after_s(answer.headers.get("Retry-After"), self.clock_ns())
        if asked_s is not None:
            self._not_before_s = loop.time() + asked_s
        kind = f"HTTP {answer.status}"
        if answer.status >= 500 or answer.status in TIME_HEALS:
            raise _AskAgain(kind, f"the venue answers with {kind}")
        self.failures[kind] += 1
        raise GapNotFilled(self._symbol, f"{kind}, {self._words_of(answer.body)}", refused=True)

    def _read(self, body: bytes) -> list[Trade]:
        try:
            return list(self._venue.parse_backfill(body, self._symbol, self.clock_ns()))
        except VenueError as error:
            if error.code is None:
                raise _AskAgain("unreadable", error.message) from error
            self.failures["refused"] += 1
            raise GapNotFilled(self._symbol, str(error), refused=True) from error

    def _words_of(self, body: bytes) -> str:
        """The venue's own words in the body of a refusal."""
        try:
            self._venue.parse_backfill(body, self._symbol, 0)
        except VenueError as error:
            return str(error)
        return "without a reason"
