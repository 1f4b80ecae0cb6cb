"""What has been published of one symbol: all that REST may show.

Only the publisher appends, after an event is out; so nothing here lies in the future.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from features.ticks import Ticks


class GrowingColumn:
    """A NumPy column that grows at the end and may lose rows at the front; both amortised."""

    __slots__ = ("_data", "_end", "_start")

    def __init__(self, dtype: DTypeLike) -> None:
        self._data = np.empty(1024, dtype=dtype)
        self._start = 0
        self._end = 0

    def __len__(self) -> int:
        return self._end - self._start

    @property
    def view(self) -> NDArray[Any]:
        """The rows as a contiguous view; valid until the next append."""
        return self._data[self._start : self._end]

    def append(self, values: NDArray[Any]) -> None:
        """Add rows at the end."""
        needed = self._end + len(values)
        if needed > len(self._data):
            rows = self.view
            capacity = max(len(self._data), 2 * (len(rows) + len(values)))
            data = np.empty(capacity, dtype=self._data.dtype)
            data[: len(rows)] = rows
            self._data, self._start, self._end = data, 0, len(rows)
        self._data[self._end : self._end + len(values)] = values
        self._end += len(values)

    def drop_first(self, count: int) -> None:
        """Forget the first `count` rows."""
        self._start += count


@dataclass(frozen=True, slots=True, eq=False)
class Aggregates:
    """m aggregate trades: fills in a row with the same time, price and aggressor side.

    `row` is the position of each one's last fill among the trades they were made from.
    """

    aggregate_id: NDArray[np.int64]
    first_id: NDArray[np.int64]
    last_id: NDArray[np.int64]
    ts_ns: NDArray[np.int64]
    price: NDArray[np.float64]
    size: NDArray[np.float64]
    side: NDArray[np.int8]
    row: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.aggregate_id)


class History:
    """The published trades and aggregate trades of one symbol.

    `keep_trades` bounds the memory of an endless market: at least that many of the newest trades
    stay, older ones may go. None keeps everything. Aggregate ids count 1, 2, 3 ...
    """

    def __init__(self, keep_trades: int | None = None) -> None:
        self._keep_trades = keep_trades
        self._trade_id = GrowingColumn(np.int64)
        self._ts_ns = GrowingColumn(np.int64)
        self._price = GrowingColumn(np.float64)
        self._size = GrowingColumn(np.float64)
        self._side = GrowingColumn(np.int8)
        self._aggregate_first_id = GrowingColumn(np.int64)
        self._aggregate_size = GrowingColumn(np.float64)
        self._aggregates_dropped = 0
        self.published = 0
        self.quotes = 0

    def __len__(self) -> int:
        return len(self._trade_id)

    @property
    def trade_id(self) -> NDArray[np.int64]:
        """Ids, rising by one."""
        return self._trade_id.view

    @property
    def ts_ns(self) -> NDArray[np.int64]:
        """Event times, never falling."""
        return self._ts_ns.view

    @property
    def price(self) -> NDArray[np.float64]:
        """Prices."""
        return self._price.view

    @property
    def size(self) -> NDArray[np.float64]:
        """Sizes."""
        return self._size.view

    @property
    def side(self) -> NDArray[np.int8]:
        """Aggressors: +1 buyer, -1 seller, 0 unknown."""
        return self._side.view

    @property
    def aggregate_count(self) -> int:
        """How many aggregate trades are kept."""
        return len(self._aggregate_first_id)

    @property
    def first_aggregate_id(self) -> int:
        """Id of the oldest aggregate trade that is kept."""
        return self._aggregates_dropped + 1

    def append(self, trades: Ticks) -> Aggregates:
        """Publish trades; gives the aggregate trades they make. All fills of an instant come together."""
        ts_ns, price, side = trades.ts_ns, trades.price, trades.side
        new = np.ones(len(trades), dtype=np.bool_)
        new[1:] = (np.diff(ts_ns) != 0) | (np.diff(price) != 0) | (np.diff(side) != 0)
        first = np.flatnonzero(new)
        last = np.append(first[1:], len(trades)) - 1 if len(first) else first
        made = Aggregates(
            aggregate_id=self.first_aggregate_id + self.aggregate_count + np.arange(len(first)),
            first_id=trades.trade_id[first],
            last_id=trades.trade_id[last],
            ts_ns=ts_ns[first],
            price=price[first],
            size=np.add.reduceat(trades.size, first) if len(first) else trades.size[:0],
            side=side[first],
            row=last,
        )
        self._trade_id.append(trades.trade_id)
        self._ts_ns.append(ts_ns)
        self._price.append(price)
        self._size.append(trades.size)
        self._side.append(side)
        self._aggregate_first_id.append(made.first_id)
        self._aggregate_size.append(made.size)
        self.published += len(trades)
        self._forget_old()
        return made

    def aggregates(self, start: int, end: int) -> Aggregates:
        """The kept aggregate trades at positions start to end (excluded), oldest first."""
        first_ids = self._aggregate_first_id.view
        first = np.searchsorted(self.trade_id, first_ids[start:end])
        next_id = self.trade_id[-1] + 1 if len(self) else 0
        last_ids = np.append(first_ids[start + 1 : end + 1], next_id)[: end - start] - 1
        return Aggregates(
            aggregate_id=self.first_aggregate_id + np.arange(start, end),
            first_id=first_ids[start:end],
            last_id=last_ids,
            ts_ns=self.ts_ns[first],
            price=self.price[first],
            size=self._aggregate_size.view[start:end],
            side=self.side[first],
            row=np.searchsorted(self.trade_id, last_ids),
        )

    def aggregate_at(self, trade_row: int) -> int:
        """Position of the first aggregate trade whose first fill is at or after a trade's position."""
        if trade_row >= len(self):
            return self.aggregate_count
        return int(np.searchsorted(self._aggregate_first_id.view, self.trade_id[trade_row]))

    def _forget_old(self) -> None:
        """Drop old rows, in steps, so that a shrink never costs more than the appends before it."""
        if self._keep_trades is None or len(self) <= self._keep_trades + self._keep_trades // 4 + 4096:
            return
        aggregates = self.aggregate_at(len(self) - self._keep_trades) - 1
        trades = int(np.searchsorted(self.trade_id, self._aggregate_first_id.view[aggregates]))
        for column in (self._trade_id, self._ts_ns, self._price, self._size, self._side):
            column.drop_first(trades)
        self._aggregate_first_id.drop_first(aggregates)
        self._aggregate_size.drop_first(aggregates)
        self._aggregates_dropped += aggregates
