"""Where the events of the exchange come from: what a tape and a generated market have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.ticks import Ticks

_QUOTE_ASSETS = ("FDUSD", "USDT", "USDC", "TUSD", "USD", "EUR", "BTC", "ETH", "BNB")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One symbol that is traded here. `tick_size` is decimal text, as exchangeInfo shows it."""

    symbol: str
    tick_size: str = "0.00000001"

    @property
    def stream_symbol(self) -> str:
        """The symbol as stream names write it: lower case."""
        return self.symbol.lower()

    def assets(self) -> tuple[str, str]:
        """Base and quote asset: split at a dash or at a known quote asset, else priced in USD."""
        base, dash, quote = self.symbol.partition("-")
        if dash and len(quote) > 1:
            return base, quote
        for asset in _QUOTE_ASSETS:
            if self.symbol.endswith(asset) and self.symbol != asset:
                return self.symbol.removesuffix(asset), asset
        return self.symbol, "USD"


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """n events of several symbols: `symbol` (n,) int32 counts into the source's instruments."""

    symbol: NDArray[np.int32]
    ticks: Ticks

    def __len__(self) -> int:
        return len(self.symbol)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Events:
        return Events(self.symbol[rows], self.ticks[rows])

    @staticmethod
    def concat(blocks: Sequence[Events]) -> Events:
        """One block from several, in the order given; at least one."""
        if len(blocks) == 1:
            return blocks[0]
        symbol = np.concatenate([block.symbol for block in blocks])
        return Events(symbol, Ticks.concat([block.ticks for block in blocks]))


class Source(Protocol):
    """An ordered supply of events.

    Trades have consecutive ids per symbol, a price and a size above zero. `start_ns` is the event
    time at which the exchange opens. `left_out` counts, by reason, what the source held back.
    """

    @property
    def name(self) -> str: ...

    @property
    def instruments(self) -> tuple[Instrument, ...]: ...

    @property
    def start_ns(self) -> int: ...

    @property
    def left_out(self) -> Mapping[str, int]: ...

    def next_events(self) -> Events | None:
        """The next block in order of event time, or None at the end.

        All events of one instant are in one block: fills of one order are never cut apart.
        """
        ...


class SourceSpec(Protocol):
    """Settings of a source.

    `live` says whether its events happen by the wall clock, from `history_s` seconds before the
    exchange opens. `repeatable` says whether `open` gives the same events whenever it is called.
    """

    @property
    def live(self) -> bool: ...

    @property
    def history_s(self) -> float: ...

    @property
    def repeatable(self) -> bool: ...

    def open(self, now_ns: int) -> Source:
        """The live object. Raises DataError when the data can't be used. `now_ns`: wall clock."""
        ...
