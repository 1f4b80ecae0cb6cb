"""The rows that a symbol of a lake has to train on.

    rows = RowSource(history, engine).read("binance", "BTCUSDT")
    rows["5m"]              # a Dataset

Features are computed from the history, or taken from the table `features` as a live engine wrote them down.
Both give the same rows: the same kernels, the same bars.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features import durations, state
from features.dataset import Dataset, DatasetBuilder
from features.engine import EngineSpec
from features.errors import DataError
from features.spec import FeatureSet
from jobs.history.reader import History

RECORDED = "features"
"""The source of rows that live engines wrote down."""
RECORDED_TABLES = ("bars", "features")


@dataclass(frozen=True, slots=True)
class RowSource:
    """Where rows come from, and what is asked of them."""

    history: History
    engine: EngineSpec
    """Its bars, features and horizons count; the symbol doesn't."""
    recorded: bool = False
    """Whether features are those that live engines wrote down."""

    @property
    def feature_set(self) -> FeatureSet:
        """The features of a row."""
        return FeatureSet.parse(self.engine.features)

    def read(self, venue: str, symbol: str) -> dict[str, Dataset]:
        """The rows of a symbol by horizon. Raises DataError for history that an engine would refuse."""
        builder = DatasetBuilder(self.feature_set, self.engine.first_forecast_bars)
        if self.recorded:
            self._add_recorded(builder, venue, symbol)
        else:
            for bars in self.history.gathered(venue, symbol, self.engine.bars):
                builder.update(bars)
        return {name: builder.build(durations.parse_ns(name)) for name in self.engine.horizons}

    def _add_recorded(self, builder: DatasetBuilder, venue: str, symbol: str) -> None:
        spec, lake = self.history.spec, self.history.lake
        period = (spec.start_ns, spec.end_ns)
        columns = list(self.feature_set.columns)
        bars = lake.read("bars", venue, symbol, *period, ["start_ns", "end_ns", "session", "reference"])
        rows = lake.read("features", venue, symbol, *period)
        missing = [name for name in columns if name not in rows.column_names]
        if rows.num_rows and missing:
            raise DataError(
                f"{symbol} has no recorded feature {', '.join(missing[:5])}",
                "features",
                f"leave it out, or use --source stream; there are: {', '.join(rows.column_names[:20])}",
            )
        ends, wanted = (table.column("end_ns").to_numpy() for table in (bars, rows))
        _, of_bars, of_rows = np.intersect1d(ends, wanted, return_indices=True)
        if not len(of_bars):
            return
        bars = bars.take(of_bars)
        matrix = np.column_stack([_floats(rows, name)[of_rows] for name in columns])
        builder.add(
            bars.column("end_ns").to_numpy(),
            _sessions(bars, self.engine.bars.interval_ns),
            _floats(bars, "reference"),
            np.ascontiguousarray(matrix),
        )


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = pc.fill_null(table.column(name), np.nan).to_numpy()
    return values


def _sessions(bars: pa.Table, interval_ns: int) -> NDArray[np.int64]:
    """Sessions numbered anew from 0. Engines that begin without their state number theirs from 0 again, so
    that of time bars those that do not follow each other are of two sessions, whatever their numbers."""
    session, start, end = (bars.column(name).to_numpy() for name in ("session", "start_ns", "end_ns"))
    changes = session[1:] != session[:-1]
    if interval_ns:
        changes |= start[1:] != end[:-1]
    return np.concatenate([[0], np.cumsum(changes)])


class Pooled(Mapping[str, Dataset]):
    """Rows of several symbols put together, horizon by horizon: only one is in memory twice."""

    def __init__(self, parts: list[dict[str, Dataset]]) -> None:
        self._parts = parts

    def __getitem__(self, horizon: str) -> Dataset:
        return Dataset.concat([part[horizon] for part in self._parts])

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts[0])

    def __len__(self) -> int:
        return len(self._parts[0])


def training_set_digest(parts: list[dict[str, Dataset]]) -> str:
    """Identity of all rows of a training."""
    return state.digest(*(rows.digest().encode() for part in parts for rows in part.values()))
