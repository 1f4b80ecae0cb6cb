"""What the trials of a sweep share: bars, features and labels, computed once for each that differs.

    data = SweepData(cache, history, digests)
    data.prepare(pairs, wanted, until_ns)           # once, before the first trial
    rows = data.rows(pair, spec, until_ns)          # in a trial: memory-mapped, nothing is computed

A trial is given the bars that end before `until_ns`, and of labels only those that are known by then: what is
held out does not reach it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features import durations, state
from features.bars import Bars, BarSpec
from features.dataset import Dataset, DatasetBuilder
from features.engine import check_references
from features.errors import DataError
from features.pipeline import FeaturePipeline
from features.spec import FeatureSet
from jobs.history.reader import History
from jobs.sweeping.cache import ArrayCache
from jobs.sweeping.resample import lengthen
from jobs.sweeping.trial_spec import TrialSpec

Pair = tuple[str, str]
Floats = NDArray[np.float64]
_VERSION = "1"


@dataclass(frozen=True)
class Wanted:
    """Everything that some space may ask for."""

    sampling: tuple[str, ...]
    features: tuple[tuple[str, ...], ...]
    horizons: tuple[str, ...]


@dataclass
class Spent:
    """What preparing has cost."""

    read_s: float = 0.0
    features_s: float = 0.0
    computed: int = 0
    found: int = 0
    """Arrays that had been there before."""

    def add(self, other: Spent) -> None:
        """Take in what another process has spent."""
        self.read_s += other.read_s
        self.features_s += other.features_s
        self.computed += other.computed
        self.found += other.found


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One symbol's bars with their features and labels, row by row."""

    venue: str
    symbol: str
    bars: Bars
    x: Floats
    y: Floats
    """Outcome as a log return; NaN where it is void, or not known by the end."""
    scale: Floats
    """NaN at bars before the first question."""
    horizon_ns: int

    def __len__(self) -> int:
        return len(self.y)

    def place(self, ns: int) -> int:
        """Place of the first bar that ends at `ns` or later."""
        return int(np.searchsorted(self.bars.end_ns, ns))

    def dataset(self, chosen: NDArray[np.bool_]) -> Dataset:
        """Some rows as questions with their answers."""
        ends = self.bars.end_ns[chosen]
        return Dataset(
            self.x[chosen],
            self.y[chosen],
            self.scale[chosen],
            ends,
            ends + self.horizon_ns,
            self.bars.session[chosen],
            np.full(len(ends), -1),
        )


@dataclass
class SweepData:
    """The shared data of one history. `digests` identify each symbol's data, as `data_digests` gives them."""

    cache: ArrayCache
    history: History
    digests: Mapping[str, str]
    spent: Spent = field(default_factory=Spent)

    def span(self, pair: Pair, sampling: Sequence[str]) -> tuple[int, int] | None:
        """End of a symbol's first and last bar over all samplings; None where it has no bars.

        Raises DataError for bars that no engine takes.
        """
        ends = [
            (int(bars.end_ns[0]), int(bars.end_ns[-1]))
            for bars in (self.bars(pair, one, read=True) for one in sampling)
            if len(bars)
        ]
        return (min(first for first, _ in ends), max(last for _, last in ends)) if ends else None

    def prepare(self, pair: Pair, wanted: Wanted, until_ns: int) -> None:
        """Compute what is not there yet of one symbol. Raises DataError."""
        for sampling in wanted.sampling:
            bars = self.bars(pair, sampling, read=True)
            began = time.perf_counter()
            for features in wanted.features:
                self._x(pair, sampling, features, bars)
            for horizon in wanted.horizons:
                self._labels(pair, sampling, horizon, until_ns, bars)
            self.spent.features_s += time.perf_counter() - began

    def rows(self, pair: Pair, spec: TrialSpec, until_ns: int) -> Rows:
        """A symbol's rows for a trial. Raises DataError where they have not been prepared."""
        bars = self.bars(pair, spec.sampling)
        end = int(np.searchsorted(bars.end_ns, until_ns))
        x = self.cache.get(self._x_name(pair, spec.sampling, spec.features))
        labels = self.cache.get(self._labels_name(pair, spec.sampling, spec.horizon, until_ns))
        if x is None or labels is None:
            raise DataError("its features are not there", " ".join(pair), "start the sweep again")
        return Rows(*pair, bars[:end], x[:end], labels[0], labels[1], spec.horizon_ns)

    def bars(self, pair: Pair, sampling: str, read: bool = False) -> Bars:
        """A symbol's bars. Raises DataError where they are not there, and are not to be `read`."""
        name = self._name(pair, sampling, "bars")
        times, values = self.cache.get(f"{name}-times"), self.cache.get(f"{name}-values")
        if times is not None and values is not None:
            self.spent.found += 1
            return Bars(times, values)
        if not read:
            raise DataError("its bars are not there", " ".join(pair), "start the sweep again")
        began = time.perf_counter()
        bars = self._read(pair, BarSpec.parse(sampling))
        check_references(bars)
        kept = Bars(
            self.cache.put(f"{name}-times", bars.times), self.cache.put(f"{name}-values", bars.values)
        )
        self.spent.read_s += time.perf_counter() - began
        self.spent.computed += 1
        return kept

    def _read(self, pair: Pair, spec: BarSpec) -> Bars:
        bars = Bars.concat(list(self.history.gathered(*pair, spec)))
        interval_ns = self.history.spec.interval_ns
        return lengthen(bars, interval_ns, spec.interval_ns) if interval_ns else bars

    def _x(self, pair: Pair, sampling: str, features: tuple[str, ...], bars: Bars) -> Floats:
        name = self._x_name(pair, sampling, features)
        found = self.cache.get(name)
        if found is not None:
            self.spent.found += 1
            return found
        self.spent.computed += 1
        return self.cache.put(name, FeaturePipeline(FeatureSet.parse(features)).update(bars).matrix)

    def _labels(self, pair: Pair, sampling: str, horizon: str, until_ns: int, bars: Bars) -> None:
        name = self._labels_name(pair, sampling, horizon, until_ns)
        if self.cache.get(name) is not None:
            self.spent.found += 1
            return
        self.spent.computed += 1
        self.cache.put(name, labels(bars[: int(np.searchsorted(bars.end_ns, until_ns))], horizon))

    def _name(self, pair: Pair, sampling: str, kind: str, *more: str) -> str:
        spec = self.history.spec
        read = (spec.source, spec.start_ns, spec.end_ns, spec.max_fill, spec.daily_gap_ns)
        parts = [_VERSION, *pair, self.digests[" ".join(pair)], sampling, *map(str, read), *more]
        return f"{state.digest(*(part.encode() for part in parts))[:32]}-{kind}"

    def _x_name(self, pair: Pair, sampling: str, features: tuple[str, ...]) -> str:
        return self._name(pair, sampling, "x", FeatureSet.parse(features).digest)

    def _labels_name(self, pair: Pair, sampling: str, horizon: str, until_ns: int) -> str:
        return self._name(pair, sampling, "labels", horizon, str(until_ns))


_ANY = FeatureSet.parse(["log_return:1"])


def labels(bars: Bars, horizon: str) -> Floats:
    """Outcome and scale of the question asked at each bar, shape (2, m); NaN before the first question."""
    builder = DatasetBuilder(_ANY)
    ends, sessions = bars.end_ns.copy(), bars.session.copy()
    builder.add(ends, sessions, bars.column("reference").copy(), np.zeros((len(bars), 1)))
    asked = builder.build(durations.parse_ns(horizon))
    made = np.full((2, len(bars)), np.nan)
    made[0, len(bars) - len(asked) :] = asked.y
    made[1, len(bars) - len(asked) :] = asked.scale
    return made
