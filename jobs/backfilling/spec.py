"""What a backfill is asked to do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from features.errors import ConfigError

KINDS = ("trades", "quotes", "candles")
FORMATS = ("auto", "parquet", "csv", "binance-trades", "binance-aggtrades", "binance-klines")
_RULES_VERSION = 1
"""Goes up when the same file would give other rows."""


@dataclass(frozen=True, slots=True)
class BackfillSpec:
    """Settings for all files of one run. Raises ConfigError for those that can't be."""

    venue: str
    kind: str | None = None
    """One of `KINDS`; None: told from the columns of each file."""
    interval_ns: int | None = None
    """Length of candles; None: told from the file."""
    columns: tuple[tuple[str, str], ...] = ()
    """Our column → the file's; an empty name leaves ours out."""
    symbol: str | None = None
    """For files without a column for it."""
    format: str = "auto"
    replace: bool = False
    """Candles that differ from those stored replace them."""

    def __post_init__(self) -> None:
        if not self.venue:
            raise ConfigError("the venue has no name", "--venue", "name it, for example binance")
        if self.kind is not None and self.kind not in KINDS:
            raise ConfigError(f"unknown kind {self.kind!r}", "--kind", f"use one of: {', '.join(KINDS)}")
        if self.format not in FORMATS:
            raise ConfigError(
                f"unknown format {self.format!r}", "--format", f"use one of: {', '.join(FORMATS)}"
            )

    def digest(self, file_digest: str) -> str:
        """Identity of a file imported with these settings."""
        said = repr((_RULES_VERSION, self.venue, self.kind, self.interval_ns, self.columns, self.symbol))
        return hashlib.sha256(f"{file_digest} {said} {self.format}".encode()).hexdigest()[:32]
