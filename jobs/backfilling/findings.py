"""What was found in the files, symbol by symbol. Reports of files and processes add up."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Finding:
    """Rows of one kind."""

    count: int
    first: str
    """The first of them, for people: file, row and values."""


@dataclass(slots=True)
class SymbolFindings:
    """What became of the rows of one symbol: `read` = `kept` + all of `refused`."""

    read: int = 0
    kept: int = 0
    """In the lake now, whoever put them there."""
    already: int = 0
    """Of these: there before."""
    repaired: dict[str, Finding] = field(default_factory=dict)
    """Rows among the kept ones in which something was put right."""
    refused: dict[str, Finding] = field(default_factory=dict)

    def repair(self, kind: str, count: int, first: str) -> None:
        """Count rows in which something was put right."""
        _count(self.repaired, kind, count, first)

    def refuse(self, kind: str, count: int, first: str) -> None:
        """Count rows that are not taken."""
        _count(self.refused, kind, count, first)

    def add(self, other: SymbolFindings) -> None:
        """Take in what was found later."""
        self.read += other.read
        self.kept += other.kept
        self.already += other.already
        for kind, one in other.repaired.items():
            self.repair(kind, one.count, one.first)
        for kind, one in other.refused.items():
            self.refuse(kind, one.count, one.first)

    def as_dict(self) -> dict[str, Any]:
        """The findings as plain values."""
        return {
            "read": self.read,
            "kept": self.kept,
            "already": self.already,
            "repaired": {kind: asdict(one) for kind, one in self.repaired.items()},
            "refused": {kind: asdict(one) for kind, one in self.refused.items()},
        }


class Report:
    """Findings of all symbols."""

    def __init__(self) -> None:
        self.symbols: dict[str, SymbolFindings] = {}

    def of(self, symbol: str) -> SymbolFindings:
        """The findings of a symbol, to be added to."""
        return self.symbols.setdefault(symbol, SymbolFindings())

    def add(self, other: Report) -> None:
        """Take in another report."""
        for symbol, found in other.symbols.items():
            self.of(symbol).add(found)


def _count(found: dict[str, Finding], kind: str, count: int, first: str) -> None:
    if not count:
        return
    if kind in found:
        found[kind].count += count
    else:
        found[kind] = Finding(count, first)
