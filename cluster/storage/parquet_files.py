"""Data files of the lake: written so that equal rows give equal bytes, opened, checked and read by parts."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cluster.errors import ObjectMissing, StoreUnreachable
from cluster.storage import schemas
from cluster.storage.epochs import Fence
from cluster.storage.layout import DIGEST_LENGTH, DataFile
from cluster.storage.objects import ObjectStore
from cluster.storage.schemas import Table
from features.errors import DataError

ROWS_PER_GROUP = 131_072
GET_WHOLE_BYTES = 8 * 2**20
"""Files up to this size are fetched with one request; of larger ones only the parts that are asked for."""
_CHUNK_BYTES = 8 * 2**20
_ZSTD_LEVEL = 3
OTHER_DIGEST = "its bytes have another digest than its name says"


@dataclass(frozen=True, slots=True)
class Group:
    """One row group of a file, and the range of one of its columns."""

    index: int
    rows: int
    start: int
    """Rows of the file before it."""
    low: int
    """The least value that is not null; with none, `low` is above `high`."""
    high: int
    nulls: int


class FileWriter:
    """Writes a data file to a path or buffer. Equal rows in equal calls give equal bytes."""

    def __init__(self, target: Path | io.BytesIO, table: Table, schema: pa.Schema) -> None:
        listed = set(table.few_values)
        deltas = [field.name for field in schema if field.type == pa.int64()]
        self._table = table
        self._writer = pq.ParquetWriter(
            target if isinstance(target, io.BytesIO) else str(target),
            schema,
            compression="zstd",
            compression_level=_ZSTD_LEVEL,
            use_dictionary=sorted(listed) or False,
            # Times, ids and sequences are a third smaller as differences.
            column_encoding=dict.fromkeys(deltas, "DELTA_BINARY_PACKED"),
            write_page_checksum=True,
            store_schema=False,
        )

    def write(self, rows: pa.Table) -> None:
        """Append rows as whole row groups of at most `ROWS_PER_GROUP`."""
        self._writer.write_table(rows, row_group_size=ROWS_PER_GROUP)

    def close(self, **metadata: str) -> None:
        """End the file; the metadata get the prefix "tickcast."."""
        metadata |= {"table": self._table.name, "version": str(self._table.version)}
        self._writer.add_key_value_metadata({f"tickcast.{key}": metadata[key] for key in sorted(metadata)})
        self._writer.close()

    def abandon(self) -> None:
        """Close the file without making it whole."""
        self._writer.close()


def digest(data: bytes) -> str:
    """What a file of these bytes has at the end of its name."""
    return hashlib.sha256(data).hexdigest()[:DIGEST_LENGTH]


def path_digest(path: Path) -> str:
    """`digest` of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_LENGTH]


class LakeFile:
    """One data file, opened for reading. Damaged bytes raise DataError that names the file."""

    def __init__(
        self, file: DataFile, source: Any, where: str, recheck: Callable[[], None] | None = None
    ) -> None:
        """`recheck` is called when reading fails: it raises what is the matter, if it can tell."""
        self.file = file
        self.where = where
        self._recheck = recheck
        with _explained(where, recheck):
            self._parquet = pq.ParquetFile(source, page_checksum_verification=True)
            footer = self._parquet.metadata
            said: dict[bytes, bytes] = footer.metadata or {}
            version = int(said.get(b"tickcast.version", b"1"))
            self.replaces = frozenset(json.loads(said.get(b"tickcast.replaces", b"[]")))
            """Names of the files that this one stands for."""
            self.generation = int(said.get(b"tickcast.generation", b"0"))
            """How many compactions lie one above the other; 0 for a file that none wrote."""
            runs = json.loads(said.get(b"tickcast.epochs", b"[]"))
        self.rows: int = footer.num_rows
        self.schema: pa.Schema = self._parquet.schema_arrow.remove_metadata()
        self.epoch_runs: list[tuple[int, int]] = [(epoch, rows) for epoch, rows in runs] or [
            (file.epoch, self.rows)
        ]
        """Epochs with their numbers of rows, in the order of the file."""
        self._check_version(version)

    def groups(self, column: str) -> list[Group]:
        """The row groups with their range of an integer column, in the order of the file."""
        place = self.schema.get_field_index(column)
        found, start = [], 0
        for index in range(self._parquet.num_row_groups):
            group = self._parquet.metadata.row_group(index)
            statistics = group.column(place).statistics
            low, high, nulls = 1, 0, group.num_rows
            if statistics is None or not statistics.has_null_count:
                low, high = -(1 << 63), (1 << 63) - 1
            else:
                nulls = statistics.null_count
                if statistics.has_min_max:
                    low, high = statistics.min, statistics.max
            found.append(Group(index, group.num_rows, start, low, high, nulls))
            start += group.num_rows
        return found

    def read(self, groups: Sequence[Group], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of some row groups; columns that the file has not are left out."""
        names = self.schema.names if columns is None else [c for c in columns if c in self.schema.names]
        with _explained(self.where, self._recheck):
            rows = self._parquet.read_row_groups([group.index for group in groups], columns=names)
            return rows.select(names).replace_schema_metadata(None)

    def epochs(self, groups: Sequence[Group]) -> int | NDArray[np.int64]:
        """The epoch of the rows that `read` gives: one for all, or one for each."""
        if len(self.epoch_runs) == 1:
            return self.epoch_runs[0][0]
        ends = np.cumsum([rows for _, rows in self.epoch_runs])
        epochs = np.array([epoch for epoch, _ in self.epoch_runs], np.int64)
        parts = [np.arange(group.start, group.start + group.rows) for group in groups]
        rows = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        found: NDArray[np.int64] = epochs[np.searchsorted(ends, rows, side="right")]
        return found

    def limits(self, groups: Sequence[Group], fence: Fence) -> int | NDArray[np.int64]:
        """Below which sequence the rows that `read` gives are valid: one number, or one for each."""
        epochs = self.epochs(groups)
        return fence.limit(epochs) if isinstance(epochs, int) else fence.limits(epochs)

    def may_hold_late(self, fence: Fence) -> bool:
        """Whether rows may be without a valid sequence."""
        lowest = min(fence.limit(epoch) for epoch, _ in self.epoch_runs)
        return any(group.nulls or group.high >= lowest for group in self.groups(schemas.SEQUENCE))

    def close(self) -> None:
        """Let go of the bytes."""
        self._parquet.close(force=True)

    def _check_version(self, version: int) -> None:
        table = schemas.table(self.file.partition.table)
        if version > table.version:
            raise DataError(
                f"the file is of version {version} of {table.name}, newer than {table.version}",
                self.where,
                "read it with the release that wrote it, or a newer one",
            )


@contextmanager
def _explained(where: str, recheck: Callable[[], None] | None = None) -> Iterator[None]:
    """Turn what pyarrow raises into our errors."""
    try:
        yield
    except FileNotFoundError:
        raise ObjectMissing("there is no such object", where) from None
    except OSError as error:
        if recheck is None:
            raise damaged(where, str(error)) from error
        # The network's errors and those of a damaged page look alike.
        recheck()
        raise StoreUnreachable(f"reading failed: {error}", where, "try again") from error
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise damaged(where, str(error)) from error


def damaged(where: str, how: str) -> DataError:
    """The error for a file whose bytes are not those that were written."""
    return DataError(f"the file is damaged: {how}", where, "restore it from a backup, or remove it")


def arrow_reader(data: bytes) -> pa.BufferReader:
    """Reads a copy that Arrow's threads may let go of at any time.

    They can be the last to do so, after the interpreter has begun to shut down; were the bytes Python's own,
    that would abort the process.
    """
    copy = pa.BufferOutputStream()
    copy.write(data)
    return pa.BufferReader(copy.getvalue())


class FileAccess:
    """Opens the data files of a store. Make one for each job; it may be shared by threads."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._filesystem, self._root = store.filesystem()

    def open(self, file: DataFile, verify: bool = False) -> LakeFile:
        """A file for reading. With `verify`, its bytes are compared with the digest in its name first.

        Raises DataError for damaged bytes, ObjectMissing where a compaction has replaced it meanwhile.
        """
        where = self.where(file)
        if file.size <= GET_WHOLE_BYTES:
            data = self._store.get(file.key)
            if verify and digest(data) != file.digest:
                raise damaged(where, OTHER_DIGEST)
            return LakeFile(file, arrow_reader(data), where)
        if verify:
            self.verify(file)
        with _explained(where, lambda: None):
            source = self._filesystem.open_input_file(self._path(file))
        return LakeFile(file, source, where, lambda: self.verify(file))

    def verify(self, file: DataFile) -> None:
        """Read every byte. Raises DataError unless they are those that were written."""
        found = hashlib.sha256()
        for chunk in self.chunks(file):
            found.update(chunk)
        if found.hexdigest()[:DIGEST_LENGTH] != file.digest:
            raise damaged(self.where(file), OTHER_DIGEST)

    def chunks(self, file: DataFile) -> Iterator[bytes]:
        """All bytes of a file, in bounded memory."""
        if file.size <= GET_WHOLE_BYTES:
            yield self._store.get(file.key)
            return
        path = self._path(file)
        with _explained(self.where(file), lambda: None), self._filesystem.open_input_stream(path) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk

    def where(self, file: DataFile) -> str:
        """The address of a file, for messages."""
        return f"{self._store.uri.rstrip('/')}/{file.key}"

    def _path(self, file: DataFile) -> str:
        return f"{self._root}/{file.key}"
