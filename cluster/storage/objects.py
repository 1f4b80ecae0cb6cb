"""What the lake stands on: a store of objects under keys, a local folder or an S3 bucket.

    store = open_store(StoreSpec(uri="s3://desk/tickcast", endpoint="http://minio:9000"))
    store.put("trades/venue=binance/…/0001.parquet", data)

A key is a path of plain segments joined by "/", without a leading slash. An object appears whole or not
at all; putting the same bytes under the same key again is harmless, which makes every retry safe. All
calls block: call them in a thread or a process that may wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, order=True)
class ObjectInfo:
    """One object as a listing shows it."""

    key: str
    size: int
    """In bytes."""
    modified_ns: int
    """When it was put, by the store's clock."""


class ObjectStore(Protocol):
    """A place for objects. Raises StoreUnreachable, StoreRefused or, where it says so, ObjectMissing."""

    @property
    def uri(self) -> str:
        """Where it is, without credentials; for messages."""

    def prepare(self) -> None:
        """Make the folder or bucket if it is not there, and find out whether we may write to it."""

    def put(self, key: str, data: bytes) -> None:
        """Store an object, whole or not at all; one that is there is replaced."""

    def put_file(self, key: str, path: Path) -> None:
        """Like `put`, from a file of any size, in bounded memory."""

    def get(self, key: str) -> bytes:
        """The whole object. Raises ObjectMissing."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key begins with the prefix, in the order of their keys."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are not an error."""

    def move(self, key: str, to: str) -> None:
        """Give an object another key; at any moment it is under at least one. Raises ObjectMissing."""

    def filesystem(self) -> tuple[Any, str]:
        """A pyarrow filesystem and the path in it where the keys begin, for reading Parquet by parts."""
