"""Snapshots and digests of state.

A snapshot is a header line, which says what it is of, then named blocks of bytes, then the SHA-256 of
all before it; the header's form and the checksum stay the same in every version. A digest is a hash of
the state itself: equal digests mean that two objects will behave alike from here on.
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.errors import SnapshotError

_CHECKSUM_SIZE = 32


class Stateful(Protocol):
    """What has a state that can be saved, taken over and compared."""

    def snapshot(self) -> bytes:
        """The whole state."""

    def load(self, data: bytes) -> None:
        """Take over what `snapshot` of an object with the same settings gave."""

    def digest(self) -> str:
        """Hash of the state; equal for equal state, however it was reached."""


def pack(kind: str, version: int, identity: str, blocks: dict[str, bytes]) -> bytes:
    """One snapshot: `identity` is the digest of the settings that it belongs to."""
    head = {
        "kind": kind,
        "version": version,
        "identity": identity,
        "blocks": {name: len(data) for name, data in blocks.items()},
    }
    body = json.dumps(head).encode() + b"\n" + b"".join(blocks.values())
    return body + hashlib.sha256(body).digest()


def unpack(
    kind: str, version: int, identity: str, data: bytes, oldest: int | None = None
) -> dict[str, bytes]:
    """The blocks of a snapshot of this version, or of one from `oldest` on.

    Raises SnapshotError, saying how it differs from what is asked for.
    """
    body, checksum = data[:-_CHECKSUM_SIZE], data[-_CHECKSUM_SIZE:]
    if hashlib.sha256(body).digest() != checksum:
        raise SnapshotError("this is no snapshot, or it is damaged", kind, "use an older one")
    line, _, rest = body.partition(b"\n")
    try:
        head = json.loads(line)
        found, sizes = (head["kind"], head["version"], head["identity"]), head["blocks"]
    except (ValueError, KeyError, TypeError):
        raise SnapshotError("this is no snapshot", kind) from None
    if found[0] != kind:
        raise SnapshotError(f"this is a snapshot of {found[0]!r}", kind)
    if not (version if oldest is None else oldest) <= found[1] <= version:
        newer = "newer" if found[1] > version else "older"
        raise SnapshotError(f"its version {found[1]} is {newer} than ours, {version}", kind)
    if found[2] != identity:
        raise SnapshotError(
            "it was taken with other settings", kind, "start without it or restore the settings"
        )
    blocks, at = {}, 0
    for name, size in sizes.items():
        blocks[name] = rest[at : at + size]
        at += size
    return blocks


def pack_arrays(**arrays: NDArray[Any]) -> bytes:
    """Named arrays as bytes, with dtype and shape."""
    parts = []
    for name, array in arrays.items():
        head = json.dumps([name, array.dtype.str, list(array.shape)]).encode()
        raw = np.ascontiguousarray(array).tobytes()
        parts.append(struct.pack("<II", len(head), len(raw)) + head + raw)
    return b"".join(parts)


def unpack_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """What `pack_arrays` wrote, as writable copies."""
    arrays, at = {}, 0
    while at < len(data):
        head_size, raw_size = struct.unpack_from("<II", data, at)
        at += 8
        name, dtype, shape = json.loads(data[at : at + head_size])
        at += head_size
        arrays[name] = np.frombuffer(data[at : at + raw_size], dtype).reshape(shape).copy()
        at += raw_size
    return arrays


def digest(*parts: bytes) -> str:
    """Hash of byte strings; where one ends and the next begins matters."""
    total = hashlib.sha256()
    for part in parts:
        total.update(struct.pack("<Q", len(part)))
        total.update(part)
    return total.hexdigest()


def object_digest(value: Any) -> str:
    """Hash of any picklable object by its content, independent of object identity and of how it got here.

    Pickle bytes will not do: a restored object pickles differently from the original when strings
    that were shared are not any more.
    """
    total = hashlib.sha256()
    _feed(total, value, {})
    return total.hexdigest()


def _feed(total: Any, value: Any, seen: dict[int, tuple[int, Any]]) -> None:
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        total.update(f"{type(value).__name__}:{value!r};".encode())
        return
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        total.update(f"ref:{value.__module__}.{value.__qualname__};".encode())
        return
    if id(value) in seen:
        total.update(f"again:{seen[id(value)][0]};".encode())
        return
    seen[id(value)] = (len(seen), value)
    if isinstance(value, np.ndarray):
        total.update(
            f"array:{value.dtype.str}{value.shape};".encode() + np.ascontiguousarray(value).tobytes()
        )
    elif isinstance(value, dict):
        total.update(f"{type(value).__name__}{len(value)}{{".encode())
        for key, item in value.items():
            _feed(total, key, seen)
            _feed(total, item, seen)
    elif isinstance(value, (list, tuple)):
        total.update(f"{type(value).__name__}{len(value)}[".encode())
        for item in value:
            _feed(total, item, seen)
    elif isinstance(value, (set, frozenset)):
        total.update("".join(sorted(object_digest(item) for item in value)).encode())
    else:
        reduced = value.__reduce_ex__(4)
        parts = (
            reduced
            if isinstance(reduced, str)
            else [p if i < 3 else list(p or ()) for i, p in enumerate(reduced)]
        )
        _feed(total, parts if isinstance(parts, str) else list(parts), seen)
