"""The ledger: every forecast's score, beside the naive forecast's, from the day it starts.

A forecast is a question; when its horizon has passed, the outcome is the answer. `Ledger.record`
takes one answered question of one horizon with what all models had said, and updates every score
in O(1): nothing is kept but running means and the last horizon's worth of gains. Learning, drift,
promotion and the dashboard all read the scores from here.

The yardstick is always the naive forecast "no change", a log return of 0. Scores come twice: over
the ledger's lifetime, and weighted towards the recent answers. What each means: docs/scores.md.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import scores
from features.errors import ConfigError, DataError, SnapshotError, UnknownHorizon
from features.scores import Measures, read_measures, record_answer

# A snapshot: this header, the state as little-endian float64, SHA-256 of all before it. The
# header's start and the checksum at the end stay the same in every version.
_MAGIC = b"TCLG"
_VERSION = 1
_HEADER = struct.Struct("<4sH32s")
_CHECKSUM_SIZE = 32
_MOST_LAG_SPANS = 5


@dataclass(frozen=True)
class LedgerSpec:
    """What is scored. Raises ConfigError when the settings can't be used.

    One question per bar and horizon is assumed: a forecast over h bars overlaps h - 1 others.
    """

    models: tuple[str, ...]
    horizons_bars: tuple[int, ...]
    horizon_names: tuple[str, ...]
    coverage: float
    """Stated coverage of the models' intervals, between 0 and 1."""
    half_life: float
    """Scored forecasts after which an answer counts half in the recent scores."""
    lag_spans: int = 1
    """The long-run variance reaches back lag_spans * h - 1 answers. More is wider, and more honest
    for forecasts that hardly change from bar to bar: docs/scores.md has the numbers."""

    def __post_init__(self) -> None:
        for name, values in (("models", self.models), ("horizon_names", self.horizon_names)):
            if not values or len(set(values)) != len(values):
                raise ConfigError(f"{list(values)} is empty or repeats a name", f"ledger.{name}")
        if len(self.horizons_bars) != len(self.horizon_names):
            raise ConfigError(
                f"{len(self.horizons_bars)} horizons have {len(self.horizon_names)} names",
                "ledger.horizon_names",
                "give each horizon one name",
            )
        if not all(type(bars) is int and bars > 0 for bars in self.horizons_bars):
            raise ConfigError(
                f"{list(self.horizons_bars)} are not all whole bars", "ledger.horizons_bars", "use 1 or more"
            )
        if not 0.0 < self.coverage < 1.0:
            raise ConfigError(f"{self.coverage} is no coverage", "ledger.coverage", "use one like 0.9")
        if not 0.0 < self.half_life < math.inf:
            raise ConfigError(f"{self.half_life} is no half-life", "ledger.half_life", "use one like 1000")
        if self.lag_spans not in range(1, _MOST_LAG_SPANS + 1):
            raise ConfigError(
                f"{self.lag_spans} is no lag", "ledger.lag_spans", f"use 1 to {_MOST_LAG_SPANS}"
            )

    def digest(self) -> bytes:
        """SHA-256 of all settings: 32 bytes that tell two specs apart."""
        settings = asdict(self) | {"coverage": float(self.coverage), "half_life": float(self.half_life)}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).digest()


@dataclass(frozen=True, slots=True)
class Score:
    """How one model did at one horizon."""

    model: str
    horizon: str
    horizon_bars: int
    count: int
    """Forecasts scored."""
    invalid: int
    """Forecasts that were no finite return; left out of all scores."""
    invalid_intervals: int
    """Scored forecasts whose interval was half missing, crossed or not finite."""
    voided: int
    """Questions of this horizon that got no answer."""
    lifetime: Measures
    recent: Measures

    def as_dict(self) -> dict[str, Any]:
        """The score as plain JSON values: None for NaN, `lifetime` and `recent` as objects."""
        values = asdict(self)
        for track in ("lifetime", "recent"):
            values[track] = {k: v if math.isfinite(v) else None for k, v in values[track].items()}
        return values


class Ledger:
    """The running scores of all models at all horizons. For one thread."""

    def __init__(self, spec: LedgerSpec) -> None:
        self.spec = spec
        self._decay = 0.5 ** (1.0 / spec.half_life)
        self._windows = tuple(spec.lag_spans * bars for bars in spec.horizons_bars)
        sizes = [scores.horizon_size(len(spec.models), window) for window in self._windows]
        ends = np.cumsum(sizes)
        self._state = np.zeros(int(ends[-1]))
        # Views: what a horizon's part records is in the state.
        self._parts = tuple(
            self._state[end - size : end] for size, end in zip(sizes, ends.tolist(), strict=True)
        )
        # Answers are copied here first, so that any dtype or stride meets one compiled kernel.
        self._said = np.empty((3, len(spec.models)))

    def record(
        self,
        horizon_index: int,
        outcome: float,
        forecasts: Sequence[float] | NDArray[np.floating[Any]],
        lower: Sequence[float] | NDArray[np.floating[Any]],
        upper: Sequence[float] | NDArray[np.floating[Any]],
    ) -> None:
        """Score one answered question of one horizon for all models.

        Called when the horizon of a forecast has passed. `outcome` and the three columns, in the
        order of `spec.models`, are log returns over the horizon; a model without an interval has
        NaN in both bounds. Bad values never raise: an outcome that is not finite voids the
        question, a forecast that is not finite counts as invalid for its model, and so does a
        broken interval. Raises DataError for an unknown horizon or columns of another length.
        """
        models = len(self.spec.models)
        if not len(forecasts) == len(lower) == len(upper) == models:
            raise DataError(
                f"{len(forecasts)} forecasts with {len(lower)} lower and {len(upper)} upper bounds",
                "ledger.record",
                f"give one of each for all {models} models",
            )
        said = self._said
        said[0] = forecasts
        said[1] = lower
        said[2] = upper
        part = self._part(horizon_index)
        window = self._windows[horizon_index]
        record_answer(part, window, self._decay, float(self.spec.coverage), float(outcome), said)

    def void(self, horizon_index: int, count: int = 1) -> None:
        """Count questions of a horizon that can't be answered: a gap, or the end of a session.

        Raises DataError for an unknown horizon or a negative count.
        """
        if count < 0:
            raise DataError(f"{count} questions can't be voided", "ledger.void", "use 0 or more")
        self._part(horizon_index)[scores.VOIDED] += count

    def scores(self) -> list[Score]:
        """All scores as they are now, horizon by horizon, models in the order of the spec."""
        return [
            self._score(model, horizon)
            for horizon in range(len(self._parts))
            for model in range(len(self.spec.models))
        ]

    def score(self, model: str, horizon_name: str) -> Score:
        """One model's score at one horizon. Raises UnknownHorizon, or DataError for an unknown model."""
        if horizon_name not in self.spec.horizon_names:
            raise UnknownHorizon(horizon_name, self.spec.horizon_names)
        if model not in self.spec.models:
            raise DataError(
                f"model {model!r} is not scored", "ledger.score", f"use one of: {', '.join(self.spec.models)}"
            )
        return self._score(self.spec.models.index(model), self.spec.horizon_names.index(horizon_name))

    def snapshot(self) -> bytes:
        """The whole state, with the identity of the spec and a checksum."""
        body = _HEADER.pack(_MAGIC, _VERSION, self.spec.digest()) + self._state_bytes()
        return body + hashlib.sha256(body).digest()

    @classmethod
    def restore(cls, spec: LedgerSpec, data: bytes) -> Ledger:
        """The ledger that `snapshot` saved; it goes on bit for bit as the saved one would have.

        Raises SnapshotError when the data are damaged, of a newer version or of another spec.
        """
        body, checksum = data[:-_CHECKSUM_SIZE], data[-_CHECKSUM_SIZE:]
        where = "ledger snapshot"
        if len(body) < _HEADER.size or hashlib.sha256(body).digest() != checksum:
            raise SnapshotError("the data are damaged", where, "use an older snapshot")
        magic, version, digest = _HEADER.unpack_from(body)
        if magic != _MAGIC:
            raise SnapshotError("the data are no ledger snapshot", where)
        if version > _VERSION:
            raise SnapshotError(
                f"version {version} is newer than {_VERSION}", where, "restore with the release that wrote it"
            )
        if digest != spec.digest():
            raise SnapshotError(
                "the data are of another spec", where, "restore with its spec or start a new ledger"
            )
        ledger = cls(spec)
        if len(body) != _HEADER.size + ledger._state.nbytes:
            raise SnapshotError("the data have another size than their spec asks for", where)
        ledger._state[:] = np.frombuffer(body, dtype="<f8", offset=_HEADER.size)
        return ledger

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy made field by field would record into views that its state no longer sees.
        return Ledger.restore, (self.spec, self.snapshot())

    def digest(self) -> str:
        """SHA-256 of the state in hex: equal for two ledgers exactly when every score is."""
        return hashlib.sha256(self._state_bytes()).hexdigest()

    def _state_bytes(self) -> bytes:
        return self._state.astype("<f8", copy=False).tobytes()

    def _part(self, horizon_index: int) -> NDArray[np.float64]:
        if not 0 <= horizon_index < len(self._parts):
            raise DataError(
                f"there is no horizon {horizon_index}", "ledger", f"use 0 to {len(self._parts) - 1}"
            )
        return self._parts[horizon_index]

    def _score(self, model: int, horizon: int) -> Score:
        spec, window, part = self.spec, self._windows[horizon], self._parts[horizon]
        bars = spec.horizons_bars[horizon]
        size = scores.slot_size(window)
        slot = part[scores.SLOTS + model * size : scores.SLOTS + (model + 1) * size]
        middle = scores.TRACKS + scores.track_size(window)
        return Score(
            model=spec.models[model],
            horizon=spec.horizon_names[horizon],
            horizon_bars=bars,
            count=int(slot[scores.COUNT]),
            invalid=int(slot[scores.INVALID]),
            invalid_intervals=int(slot[scores.INVALID_INTERVALS]),
            voided=int(part[scores.VOIDED]),
            lifetime=read_measures(slot[scores.TRACKS : middle], 1.0, bars, window, spec.coverage),
            recent=read_measures(slot[middle:], self._decay, bars, window, spec.coverage),
        )
