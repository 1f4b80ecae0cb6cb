"""The frames of a tick log segment: what an actor took in, and what it made of it.

A segment is `MAGIC`, then frames. A frame is 12 bytes of head (length and CRC-32 of the payload, kind),
then the payload, little endian. The first is a HEADER. A frame that is cut short or fails its checksum
ends the segment: what is before it counts, what is after it was never acknowledged.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.bars import BAR_COLUMNS, Bars
from features.engine import Step
from features.errors import DataError
from features.forecast import Answer, Forecast
from features.ticks import Ticks

MAGIC = b"TICKLOG1"
VERSION = 2
"""1: there were no swaps among the ticks."""
COUNTERS = 16
"""Places for the counters of continuity that travel with every batch of ticks."""

_HEAD = struct.Struct("<IIB3x")
_TICKS = struct.Struct(f"<q{COUNTERS}q")
_OUTPUT = struct.Struct("<qIII4x")
_TIMES = 5
_NO_COUNTERS = (0,) * COUNTERS


class FrameKind(IntEnum):
    """What a frame holds."""

    HEADER = 1
    """Whose segment this is: `Header`."""
    TICKS = 2
    """A batch of ticks with the sequence of its first, and the counters of continuity after it."""
    OUTPUT = 3
    """Bars, features, forecasts and answers that the ticks before it brought about."""
    LATE = 4
    """Trades that came after their place in the stream had passed: stored, never fed."""
    NOTES = 5
    """What happened to the continuity of the stream."""


class Header(msgspec.Struct, frozen=True, array_like=True):
    """Whose segment it is."""

    version: int
    venue: str
    symbol: str
    epoch: int
    first_sequence: int
    """The sequence of the first tick that this segment can hold."""
    created_ns: int
    epoch_sequence: int
    """The first sequence of the epoch, with which its first segment began."""
    epoch_ns: int
    """When the epoch began, by our clock."""
    fresh: bool
    """Whether the engine began this epoch without an earlier state."""
    engine: str
    """The engine's settings, as `EngineSpec.to_json` writes them."""
    features: tuple[str, ...]
    """Names of the columns of the feature rows."""

    def followed_by(self, sequence: int, created_ns: int) -> Header:
        """The head of the next segment of the same epoch."""
        return msgspec.structs.replace(self, first_sequence=sequence, created_ns=created_ns)


class Note(msgspec.Struct, frozen=True, array_like=True):
    """One thing that happened to the continuity of a symbol's trades."""

    at_ns: int
    event: str
    first_id: int
    last_id: int
    trades: int
    detail: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class TickFrame:
    """Ticks numbered from `sequence` on, and the counters after them."""

    sequence: int
    ticks: Ticks
    counters: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class OutputFrame:
    """What the ticks up to and with `sequence` brought about, as it was when it was made."""

    sequence: int
    bars: Bars
    features: NDArray[np.float64]
    forecasts: list[Forecast]
    answers: list[Answer]


@dataclass(frozen=True, slots=True, eq=False)
class LateFrame:
    """Trades that are stored outside the stream."""

    ticks: Ticks


@dataclass(frozen=True, slots=True, eq=False)
class NoteFrame:
    """Notes, oldest first."""

    notes: list[Note]


Frame = Header | TickFrame | OutputFrame | LateFrame | NoteFrame

_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(Header).decode
_decode_notes = msgspec.msgpack.Decoder(list[Note]).decode
_decode_made = msgspec.msgpack.Decoder(tuple[list[Forecast], list[Answer]]).decode


def header(value: Header) -> bytes:
    """The start of a segment: the magic and its first frame."""
    return MAGIC + _frame(FrameKind.HEADER, _encode(value))


def ticks(sequence: int, batch: Ticks, counters: Sequence[int]) -> bytes:
    """A batch of ticks as a frame. `counters` are at most `COUNTERS` integers."""
    padded = (*counters, *_NO_COUNTERS[len(counters) :])
    return _frame(FrameKind.TICKS, _TICKS.pack(sequence, *padded) + batch.to_bytes())


def output(sequence: int, step: Step) -> bytes:
    """What a step made, as a frame. Floats keep every bit."""
    made = _encode((step.forecasts, step.answers))
    m, k = step.features.shape
    parts = (
        _OUTPUT.pack(sequence, m, k, len(made)),
        step.bars.times.tobytes(),
        step.bars.values.tobytes(),
        step.features.tobytes(),
        made,
    )
    return _frame(FrameKind.OUTPUT, b"".join(parts))


def late(batch: Ticks) -> bytes:
    """Trades outside the stream as a frame."""
    return _frame(FrameKind.LATE, batch.to_bytes())


def notes(made: Sequence[Note]) -> bytes:
    """Notes as a frame."""
    return _frame(FrameKind.NOTES, _encode(list(made)))


def read(data: bytes | memoryview) -> Iterator[tuple[int, Frame]]:
    """The frames of a segment with the offset at which each ends, up to the first that is not whole.

    Raises DataError when the data do not begin as a segment, or are of a newer version.
    """
    view = memoryview(data)
    if bytes(view[: len(MAGIC)]) != MAGIC:
        raise DataError("this is no segment of a tick log", fix="it begins with other bytes")
    at = len(MAGIC)
    while at + _HEAD.size <= len(view):
        size, checksum, kind = _HEAD.unpack_from(view, at)
        payload = view[at + _HEAD.size : at + _HEAD.size + size]
        if len(payload) < size or zlib.crc32(payload) != checksum:
            return
        at += _HEAD.size + size
        yield at, _decode(kind, payload)


def goes_on(data: bytes, end: int) -> bool:
    """Whether a whole frame lies somewhere behind the damage at `end`: then it is no torn tail."""
    view = memoryview(data)
    known = set(FrameKind)
    for at in range(end + 1, len(view) - _HEAD.size + 1):
        size, checksum, kind = _HEAD.unpack_from(view, at)
        if kind in known and 0 < size <= len(view) - at - _HEAD.size:
            payload = view[at + _HEAD.size : at + _HEAD.size + size]
            if zlib.crc32(payload) == checksum:
                return True
    return False


def _frame(kind: FrameKind, payload: bytes) -> bytes:
    return _HEAD.pack(len(payload), zlib.crc32(payload), kind) + payload


def _decode(kind: int, payload: memoryview) -> Frame:
    match kind:
        case FrameKind.TICKS:
            sequence, *counters = _TICKS.unpack_from(payload)
            return TickFrame(sequence, Ticks.from_bytes(payload[_TICKS.size :]), tuple(counters))
        case FrameKind.OUTPUT:
            return _decode_output(payload)
        case FrameKind.HEADER:
            found = _decode_header(payload)
            if found.version > VERSION:
                raise DataError(
                    f"the tick log is of version {found.version}, newer than {VERSION}",
                    fix="read it with the release that wrote it",
                )
            return found
        case FrameKind.LATE:
            return LateFrame(Ticks.from_bytes(payload))
        case FrameKind.NOTES:
            return NoteFrame(_decode_notes(payload))
    raise DataError(f"a frame of the tick log is of the unknown kind {kind}", fix="use a newer release")


def _decode_output(payload: memoryview) -> OutputFrame:
    sequence, m, k, made_size = _OUTPUT.unpack_from(payload)
    at = _OUTPUT.size

    def array(dtype: str, rows: int, columns: int) -> NDArray[Any]:
        nonlocal at
        found = np.frombuffer(payload, dtype, rows * columns, at).reshape(rows, columns).copy()
        at += found.nbytes
        return found

    bars = Bars(array("<i8", _TIMES, m), array("<f8", len(BAR_COLUMNS), m))
    features = array("<f8", m, k)
    forecasts, answers = _decode_made(payload[at : at + made_size])
    return OutputFrame(sequence, bars, features, forecasts, answers)


def as_columns(made: Sequence[Forecast] | Sequence[Answer]) -> dict[str, list[Any]]:
    """Forecasts or answers column by column, for a table."""
    names = [one.name for one in fields(made[0])] if made else []
    return {name: [getattr(row, name) for row in made] for name in names}
