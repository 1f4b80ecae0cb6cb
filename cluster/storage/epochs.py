"""Epochs: which incarnation of a symbol's actor a row is from, and whether it still counts.

Every incarnation has a greater epoch than those before, and records the first sequence that it assigns.
A row with sequence s of epoch e is valid iff no later epoch began at or before s. So an actor that was
taken for dead can't spoil anything: what it still writes carries its old epoch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import ObjectMissing
from cluster.storage import layout
from cluster.storage.objects import ObjectStore
from features.errors import DataError

_VERSION = 1
NO_LIMIT = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """The beginning of one incarnation."""

    venue: str
    symbol: str
    epoch: int
    first_sequence: int
    """The first sequence that it assigns."""
    started_ns: int
    """By our clock."""
    engine: dict[str, Any]
    """The engine's settings, as JSON has them."""
    fresh: bool
    """Whether the engine began without an earlier state."""

    def to_json(self) -> bytes:
        """The record as one JSON object."""
        return json.dumps({"version": _VERSION} | asdict(self), sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> EpochRecord:
        """What `to_json` wrote. Raises DataError that names `where`."""
        try:
            values = json.loads(data)
            version = values.pop("version")
            if version == _VERSION:
                return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise DataError("this is no record of an epoch", where, "restore it from a backup") from None
        raise DataError(f"the record is of version {version}, not {_VERSION}", where, "use a newer release")


class Fence:
    """The rule of epochs for one symbol."""

    def __init__(self, records: Iterable[EpochRecord] = ()) -> None:
        begun = sorted((record.epoch, record.first_sequence) for record in records)
        self._epochs = np.array([epoch for epoch, _ in begun], np.int64)
        firsts = np.array([first for _, first in begun] + [NO_LIMIT], np.int64)
        # At place i: the lowest first sequence of the epochs from place i on.
        self._limits = np.minimum.accumulate(firsts[::-1])[::-1]

    def limit(self, epoch: int) -> int:
        """Rows of this epoch are valid below this sequence."""
        return int(self._limits[np.searchsorted(self._epochs, epoch, side="right")])

    def limits(self, epochs: NDArray[np.int64]) -> NDArray[np.int64]:
        """`limit` of many epochs."""
        found: NDArray[np.int64] = self._limits[np.searchsorted(self._epochs, epochs, side="right")]
        return found


class EpochStore:
    """The records of epochs in a store. Each is written once, so what was read is kept."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._known: dict[str, EpochRecord] = {}

    def records(self, venue: str, symbol: str) -> list[EpochRecord]:
        """All records of a symbol, by epoch."""
        prefix = layout.symbol_prefix(layout.EPOCHS, venue, symbol)
        keys = [one.key for one in self._store.list(prefix) if layout.is_epoch_key(one.key)]
        return sorted((self._record(key) for key in keys), key=lambda record: record.epoch)

    def put(self, record: EpochRecord) -> None:
        """Store a record. Where the epoch has one already, that stays; DataError if it says anything else.

        When an incarnation started may be told differently by those who pass it on.
        """
        key = layout.epoch_key(record.venue, record.symbol, record.epoch)
        try:
            before = self._record(key)
        except ObjectMissing:
            self._store.put(key, record.to_json())
            return
        if replace(before, started_ns=record.started_ns) != record:
            raise DataError(
                f"epoch {record.epoch} has begun already, at sequence {before.first_sequence}",
                key,
                "give every incarnation an epoch of its own, above all before",
            )

    def _record(self, key: str) -> EpochRecord:
        if key not in self._known:
            self._known[key] = EpochRecord.from_json(self._store.get(key), f"{self._store.uri}/{key}")
        return self._known[key]
