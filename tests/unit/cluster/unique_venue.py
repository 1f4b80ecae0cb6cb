"""A venue whose ids are only unique, and which serves trades by time: Binance's aggregate trades, looked
at without knowing that their ids run on. The local exchange speaks its protocol."""

from __future__ import annotations

import msgspec

from cluster.venues.base import HttpRequest, TradeIds, VenueFacts
from cluster.venues.binance import Binance, BinanceSpec


class UniqueVenue(Binance):
    """Answers of at most `page` trades, the oldest first, or only ever the newest (`newest`)."""

    def __init__(self, by_time: bool = True, page: int = 1000, newest: bool = False) -> None:
        super().__init__(BinanceSpec(trade_stream="aggTrade", quotes=False, microseconds=True))
        self._by_time = by_time
        self._page = page
        self._newest = newest

    @property
    def facts(self) -> VenueFacts:
        return msgspec.structs.replace(super().facts, trade_ids=TradeIds.UNIQUE, backfill_page=self._page)

    def recent_request(
        self, symbol: str, since_ns: int, limit: int | None = None, base: str | None = None
    ) -> HttpRequest | None:
        if not self._by_time:
            return None
        symbol = self.normalise_symbol(symbol)
        start = () if self._newest else (("startTime", str(max(since_ns, 0) // 1000)),)
        return HttpRequest(
            method="GET",
            url=f"{base or self.facts.rest_base}/api/v3/aggTrades",
            params=(("symbol", symbol), *start, ("limit", str(limit or self._page))),
            headers=(("X-MBX-TIME-UNIT", "MICROSECOND"),),
        )
