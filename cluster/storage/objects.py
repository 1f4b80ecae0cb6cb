"""What the lake stands on: a store of objects under keys, a local folder or an S3 bucket.

    store = open_store(StoreSpec(uri="s3://desk/tickcast", endpoint="http://minio:9000"))
    store.prepare()
    store.put("trades/venue=binance/…/0001.parquet", data)

A key is a path of plain segments joined by "/", without a leading slash (`check_key` says what is plain).
An object appears whole or not at all; putting the same bytes under the same key again is harmless, which
makes every retry safe. All calls block: call them in a thread or a process that may wait. A store may be
shared by threads. It does not go to another process: send its spec and open it there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cluster.storage.store_spec import StoreSpec
from features.errors import DataError

_LONGEST_KEY_BYTES = 900
_LONGEST_SEGMENT_BYTES = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, order=True)
class ObjectInfo:
    """One object as a listing shows it."""

    key: str
    size: int
    """In bytes."""
    modified_ns: int
    """When it was put, by the store's clock."""


class ObjectStore(Protocol):
    """A place for objects. Raises StoreUnreachable, StoreRefused or, where it says so, ObjectMissing.

    A key that is none raises DataError, see `check_key`.
    """

    @property
    def uri(self) -> str:
        """Where it is, without credentials; for messages."""

    def prepare(self) -> None:
        """Make the folder or bucket if it is not there, and find out whether we may write to it.

        Call it once, before writing."""

    def put(self, key: str, data: bytes) -> None:
        """Store an object, whole or not at all; one that is there is replaced."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Store an object unless another one is there; whether it is there now with exactly these bytes.

        Of several that put different bytes under one key at once, whoever they are, one gets True; the
        others get False when its object is there. Again with the same bytes is harmless, and True: put
        something of your own into them."""

    def put_file(self, key: str, path: Path) -> None:
        """Like `put`, from a file of any size, in bounded memory. DataError when the file can't be read."""

    def get(self, key: str) -> bytes:
        """The whole object. Raises ObjectMissing."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key begins with the prefix, in the order of their keys."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are not an error."""

    def move(self, key: str, to: str) -> None:
        """Give an object another key; at any moment it is under at least one. Raises ObjectMissing.

        What was under the other key is replaced."""

    def filesystem(self) -> tuple[Any, str]:
        """A pyarrow filesystem and the path in it where the keys begin, for reading Parquet by parts.

        Make it anew for each job: temporary credentials in it end with their time. What fails in it is
        pyarrow's own OSError."""


def open_store(spec: StoreSpec) -> ObjectStore:
    """The store of this spec. Nothing is asked of it yet: the first call finds out whether it is there."""
    # Each store brings its libraries along: a process has those of the store it opens, and no other.
    folder = spec.folder
    if folder is not None:
        from cluster.storage.folder_store import FolderStore

        return FolderStore(folder)
    from cluster.storage.s3_store import S3Store

    return S3Store(spec)


def check_key(key: str) -> None:
    """Raise DataError unless this is a key: segments that any store and any tool takes for plain names.

    A segment is 1 to 255 bytes of UTF-8, does not begin with a dot and holds no control characters; the
    whole key is at most 900 bytes, which leaves room for a prefix below S3's limit of 1024.
    """
    problem = _key_problem(key)
    if problem:
        raise DataError(f"{problem}: {key[:200]!r}", "object key", 'use plain names joined by "/"')


def check_prefix(prefix: str) -> None:
    """Raise DataError unless keys can begin so: whole segments as in a key, then the start of one."""
    if prefix:
        check_key(f"{prefix}x")


def is_key(text: str) -> bool:
    """Whether the name of a found object is a key, or something that another program left."""
    return _key_problem(text) is None


def _key_problem(key: str) -> str | None:
    try:
        size = len(key.encode())
        longest = max(len(segment.encode()) for segment in key.split("/"))
    except UnicodeEncodeError:
        return "is not text"
    if key.startswith("/"):
        return "begins with a slash"
    if not key or key.endswith("/") or "//" in key:
        return "has an empty segment"
    if key.startswith(".") or "/." in key:
        return "has a segment that begins with a dot"
    if _CONTROL.search(key):
        return "has a control character"
    if size > _LONGEST_KEY_BYTES or longest > _LONGEST_SEGMENT_BYTES:
        return f"is longer than {_LONGEST_KEY_BYTES} bytes, or {_LONGEST_SEGMENT_BYTES} in one segment"
    return None
