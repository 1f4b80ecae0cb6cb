"""The feature pipeline: bars in, feature matrix out.

    pipeline = FeaturePipeline(FeatureSet.parse(["ema_gap:20", "rsi:14"]))
    features = pipeline.update(bars)
    features.matrix[-1]         # the newest row, one value for each of feature_set.columns

Live it is fed a bar at a time, in history a million: the matrix and the state are the same to the
last bit, because one compiled kernel does the same operations in the same order for both.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bars import BAR_COLUMNS, Bars
from features.catalogue import CATALOGUE
from features.definition import Feature
from features.errors import DataError, SnapshotError
from features.kernels import opcodes
from features.kernels.run import load
from features.spec import FeatureSet, FeatureSpec

_SNAPSHOT_VERSION = 1
_ROWS = len(BAR_COLUMNS)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of m bars: `matrix` float64 (m, k) in C order, a row for each bar, NaN is missing.

    `bars_in_session` int64 (m,) counts the bars of the session up to and including each.
    """

    matrix: NDArray[np.float64]
    bars_in_session: NDArray[np.int64]
    warm_bars: int

    def __len__(self) -> int:
        return len(self.bars_in_session)

    @property
    def warm(self) -> NDArray[np.bool_]:
        """Whether all windows of a row are full, shape (m,).

        Features whose inputs may be unknown (the book) can be NaN in a warm row.
        """
        return self.bars_in_session >= self.warm_bars


class FeaturePipeline:
    """Computes a feature set over a stream of bars. Not for several threads."""

    def __init__(self, feature_set: FeatureSet) -> None:
        self.feature_set = feature_set
        self._program = feature_set.program()
        self._width = len(feature_set.columns)
        self._warm_bars = feature_set.warm_bars
        self._state = np.zeros(feature_set.state_size)
        self._state[opcodes.SESSION] = np.nan
        self._run = load()

    def update(self, bars: Bars) -> Features:
        """Feed m bars, oldest first; returns their features.

        Raises DataError, and takes in none of them, where a bar has a price that is not above 0 or
        an amount below 0 among the columns that the features read, or either not finite.
        """
        times, values = bars.times, bars.values
        m = times.shape[1]
        if values.shape != (_ROWS, m):
            raise DataError(f"bar values have shape {values.shape}, not ({_ROWS}, {m})", "features")
        matrix = np.empty((m, self._width))
        ages = np.empty(m, np.int64)
        done = self._run(self._program, self._state, _plain(times), _plain(values), matrix, ages)
        if done < m:
            raise self._unusable(bars, done)
        return Features(matrix, ages, self._warm_bars)

    def digest(self) -> str:
        """Identity of the state: equal digests go on equally."""
        return hashlib.sha256(self._state.tobytes()).hexdigest()

    def snapshot(self) -> bytes:
        """The whole state, to be restored by a pipeline of the same feature set."""
        body = self._state.tobytes()
        head = f"features {_SNAPSHOT_VERSION} {self.feature_set.digest} {zlib.crc32(body):08x}\n"
        return head.encode() + body

    @classmethod
    def restore(cls, feature_set: FeatureSet, data: bytes) -> FeaturePipeline:
        """The pipeline as it was.

        Raises SnapshotError when `data` is damaged, of a newer version, or of other features.
        """
        head, _, body = data.partition(b"\n")
        words = head.decode("ascii", "replace").split(" ")
        if len(words) != 4 or words[0] != "features":
            raise _refused("this is not a snapshot of features")
        if words[1] != str(_SNAPSHOT_VERSION):
            raise _refused(f"the snapshot is of version {words[1]}, not {_SNAPSHOT_VERSION}")
        if words[2] != feature_set.digest:
            raise _refused("the snapshot is of other features, or of other kernels")
        pipeline = cls(feature_set)
        if len(body) != pipeline._state.nbytes or words[3] != f"{zlib.crc32(body):08x}":
            raise _refused("the snapshot is damaged")
        pipeline._state[:] = np.frombuffer(body)
        return pipeline

    def _unusable(self, bars: Bars, place: int) -> DataError:
        inputs = sorted({name for spec in self.feature_set.specs for name in spec.entry.inputs})
        shown = {name: float(bars.column(name)[place]) for name in inputs if name in BAR_COLUMNS}
        return DataError(
            f"bar {place} of the batch has values that can't be: {shown}",
            "features",
            "prices must be above 0, volumes and counts 0 or more, all finite; leave such bars out",
        )


def warm_up() -> None:
    """Compile the kernels, or read them from numba's cache, and run each op once.

    Called at install, so that no live process compiles: it takes tens of seconds once.
    """
    specs = [FeatureSpec(entry.name, _smallest(entry)) for entry in CATALOGUE.values()]
    ends = np.arange(1, 4, dtype=np.int64) * 1_000_000_000
    FeaturePipeline(FeatureSet(tuple(specs))).update(
        Bars.from_columns(ends - 1_000_000_000, ends, close=[1.0, 2.0, 1.5], volume=[1.0, 0.0, 2.0])
    )


def _smallest(entry: Feature) -> tuple[float, ...]:
    return tuple(a.low if a.default is None else a.default for a in entry.arguments)


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """The array in the one layout that the kernel is compiled for; slices and views are copied."""
    flags = array.flags
    return array if flags.c_contiguous and flags.writeable else array.copy(order="C")


def _refused(problem: str) -> SnapshotError:
    return SnapshotError(problem, "features", "start without it, and feed the bars again")
