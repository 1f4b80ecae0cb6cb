"""What a sweep leaves in the lake, or in a folder of its own.

sweeps/<run id>/trials/<number>.json    a row as soon as its trial is over: a new start goes on from here
sweeps/<run id>/package.bin             the winner's model, where it was trained from rows
sweeps/<run id>/holdout.json            the score on the held-out period; the first one stays
sweeps/<run id>/trials.parquet          all rows as one table
sweeps/<run id>/manifest.json           written last: the sweep is whole
sweeps/looks/<data>/<run id>.json       who has looked at which held-out period of which data

results = SweepResults(store, run_id)
results.manifest()["winner"]
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.errors import ObjectMissing
from cluster.storage.objects import ObjectStore
from cluster.storage.parquet_files import arrow_reader
from features.errors import DataError
from jobs.backtesting.result import plain

VERSION = 1
_TOP = "sweeps"
_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("status", pa.string()),
        ("problem", pa.string()),
        ("sampling", pa.string()),
        ("horizon", pa.string()),
        ("features", pa.string()),
        ("model", pa.string()),
        ("parameters", pa.string()),
        ("rule", pa.string()),
        ("folds", pa.int64()),
        ("objective", pa.float64()),
        ("by_fold", pa.list_(pa.float64())),
        ("skill", pa.float64()),
        ("hit_rate", pa.float64()),
        ("answers", pa.int64()),
        ("symbols", pa.int64()),
        ("sharpe", pa.float64()),
        ("total_return", pa.float64()),
        ("fills", pa.int64()),
        ("seconds_data", pa.float64()),
        ("seconds_learn", pa.float64()),
        ("seconds_score", pa.float64()),
        ("returns_end_ns", pa.list_(pa.int64())),
        ("returns", pa.list_(pa.float64())),
    ]
)
_OF_SPEC = ("sampling", "horizon", "model", "rule")
Values = dict[str, Any]


class SweepResults:
    """Reads and writes one sweep."""

    def __init__(self, store: ObjectStore, run_id: str) -> None:
        self.store = store
        self.run_id = run_id
        self._prefix = f"{_TOP}/{run_id}/"

    @property
    def where(self) -> str:
        """Its address, for messages."""
        return f"{self.store.uri.rstrip('/')}/{self._prefix}"

    def put_row(self, row: Values) -> None:
        """Keep the row of a trial that is over."""
        self.store.put(f"{self._prefix}trials/{row['number']:06}.json", _encode(row))

    def rows(self) -> dict[int, Values]:
        """The rows that are there, by number. Raises DataError for one that is damaged."""
        found = {}
        for one in self.store.list(f"{self._prefix}trials/"):
            row = self._decode(self.store.get(one.key), one.key)
            found[int(row["number"])] = row
        return dict(sorted(found.items()))

    def put_table(self, rows: Iterable[Values]) -> None:
        """Write all rows as one table."""
        target = io.BytesIO()
        pq.write_table(table_of(rows), target, compression="zstd", store_schema=False)
        self.store.put(f"{self._prefix}trials.parquet", target.getvalue())

    def table(self) -> pa.Table:
        """The rows as a table, in the order of their numbers. Raises ObjectMissing."""
        return pq.read_table(arrow_reader(self.store.get(f"{self._prefix}trials.parquet")))

    def holdout(self) -> Values | None:
        """The score on the held-out period; None where nobody has looked yet."""
        return self._get("holdout.json")

    def put_holdout(self, score: Values) -> Values:
        """Keep the score unless one is there; what is there then."""
        self.store.put_new(f"{self._prefix}holdout.json", _encode(score))
        kept = self.holdout()
        return score if kept is None else kept

    def put_package(self, data: bytes) -> None:
        """Keep the winner's model."""
        self.store.put(f"{self._prefix}package.bin", data)

    def package(self) -> bytes | None:
        """The winner's model; None where it is an online learner, or there is no winner yet."""
        try:
            return self.store.get(f"{self._prefix}package.bin")
        except ObjectMissing:
            return None

    def look(self, data: str) -> int:
        """Note that this sweep looks at the held-out period of `data`; how many others have before."""
        prefix = f"{_TOP}/looks/{data}/"
        own = f"{prefix}{self.run_id}.json"
        others = [one.key for one in self.store.list(prefix) if one.key != own]
        self.store.put_new(own, _encode({"before": len(others)}))
        return int(self._decode(self.store.get(own), own)["before"])

    def finish(self, manifest: Values) -> None:
        """Write the manifest, after everything else."""
        self.store.put(f"{self._prefix}manifest.json", _encode(manifest))

    def finished(self) -> Values | None:
        """The manifest; None where the sweep is not whole. Raises DataError for a newer version's."""
        return self._get("manifest.json")

    def manifest(self) -> Values:
        """The manifest. Raises DataError where the sweep is not whole."""
        found = self.finished()
        if found is None:
            raise DataError("there is no finished sweep", self.where, "run it again: it goes on")
        return found

    def forget(self) -> None:
        """Remove the sweep, its manifest first; the score on the held-out period and its model stay."""
        self.store.delete([f"{self._prefix}manifest.json"])
        kept = {f"{self._prefix}{name}" for name in ("holdout.json", "package.bin")}
        self.store.delete([one.key for one in self.store.list(self._prefix) if one.key not in kept])

    def _get(self, name: str) -> Values | None:
        try:
            data = self.store.get(self._prefix + name)
        except ObjectMissing:
            return None
        return self._decode(data, name)

    def _decode(self, data: bytes, name: str) -> Values:
        try:
            values: Values = json.loads(data)
            version = int(values.pop("version"))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(f"{name} is damaged", self.where, "remove it and run the sweep again") from None
        if version > VERSION:
            raise DataError(f"{name} is of version {version}, newer than {VERSION}", self.where)
        return values


def table_of(rows: Iterable[Values]) -> pa.Table:
    """Rows of trials as a table, in the order of their numbers."""
    flat = []
    for row in sorted(rows, key=lambda one: int(one["number"])):
        spec = row["spec"]
        made = {name: row.get(name) for name in _SCHEMA.names} | {name: spec.get(name) for name in _OF_SPEC}
        made["features"] = str(row["point"]["features"])
        made["parameters"] = json.dumps(spec.get("parameters", {}), sort_keys=True)
        made |= {f"seconds_{name}": value for name, value in row.get("seconds", {}).items()}
        flat.append(made)
    return pa.Table.from_pylist(flat, _SCHEMA)


def _encode(values: Mapping[str, Any]) -> bytes:
    return json.dumps(plain({"version": VERSION} | dict(values)), allow_nan=False).encode()
