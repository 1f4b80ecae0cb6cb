"""Which history a job works on."""

from __future__ import annotations

from dataclasses import dataclass

from features import durations
from features.errors import ConfigError, SpecError

TRADES, STREAM = "trades", "stream"
_CANDLES = "candles:"
DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class HistorySpec:
    """What to read of a lake. Raises ConfigError for a source or a period that is none."""

    source: str
    """"candles:1m": bars of that length; "trades": stored trades and quotes by venue time; "stream": what
    an actor was fed, in that order."""
    venue: str | None = None
    """None: every venue."""
    symbols: tuple[str, ...] = ()
    """None given: all that the lake has."""
    start_ns: int | None = None
    """Event time at which it begins; of bars, their end."""
    end_ns: int | None = None
    """Exclusive."""
    max_fill: int = 300
    """Missing bars in a row, shorter than a day, that are filled before the session ends; as in `BarSpec`."""
    daily_gap_ns: int = 10 * DAY_NS
    """Bars of a day or longer are never filled; a session ends where the next one is further away."""

    def __post_init__(self) -> None:
        if self.source not in (TRADES, STREAM) and not self.source.startswith(_CANDLES):
            raise ConfigError(
                f"unknown source {self.source!r}", "source", 'use "candles:1m", "trades" or "stream"'
            )
        if self.source.startswith(_CANDLES):
            self._parsed_ns()
        if self.start_ns is not None and self.end_ns is not None and self.start_ns >= self.end_ns:
            raise ConfigError("the period ends before it begins", "from/to", "give an earlier begin")
        if self.max_fill < 1 or self.daily_gap_ns < 1:
            raise ConfigError("max_fill and daily_gap_ns are not both above zero", "source")

    @property
    def interval_ns(self) -> int:
        """Length of the bars; 0 where the source is ticks."""
        return self._parsed_ns() if self.source.startswith(_CANDLES) else 0

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables of the lake that it is in."""
        if self.interval_ns:
            return ("candles",)
        return ("trades", "quotes") if self.source == TRADES else ("trades", "quotes", "marks")

    def _parsed_ns(self) -> int:
        try:
            return durations.parse_ns(self.source.removeprefix(_CANDLES), "source")
        except SpecError as error:
            raise ConfigError(error.problem, "source", 'write it like "candles:1m"') from None
