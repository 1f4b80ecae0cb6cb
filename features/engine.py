"""The whole loop of one symbol: ticks in; bars, features, forecasts and scores out.

    engine = SymbolEngine(EngineSpec("BTCUSDT"))
    step = engine.update(ticks)
    step.bars, step.features, step.forecasts, step.answers

The engine knows no clock, no socket and no file. Live, an actor feeds it what the venue sends; a
backtest feeds it what is stored. How the stream is cut into batches changes no bit of anything.

Trained models are put into its slots by swaps: `engine.swap(…)`, or a tick of the kind SWAP in the stream,
for which the model comes from the engine's shelf. See `features.model_slots`.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from features import durations, state
from features.bars import BarBuilder, Bars, BarSpec
from features.errors import DataError, SpecError
from features.forecast import Answer, Forecast
from features.forecaster import MIXTURE, HorizonForecaster
from features.labels import Closed, log_return
from features.ledger import Ledger, LedgerSpec
from features.model_slots import CHAMPION, Duel, EmptyShelf, Model, ModelSlots, Shelf, SlotScore
from features.models.catalogue import LearnerSpec
from features.models.conformal import IntervalSpec
from features.models.experts import MixtureSpec
from features.models.scaling import FeatureScaler, ReturnScale
from features.pipeline import FeaturePipeline
from features.spec import FeatureSet
from features.ticks import NO_ID, Ticks

DEFAULT_FEATURES: tuple[str, ...] = (
    *(f"log_return:{n}" for n in (1, 2, 5, 10, 30, 60)),
    *(f"flow_imbalance:{n}" for n in (1, 2, 5, 10, 30, 60)),
    *(f"vwap_gap:{n}" for n in (1, 2, 5, 10, 30, 60)),
    *(f"signed_trades:{n}" for n in (1, 5, 10, 30, 60)),
    *(f"signed_volume:{n}" for n in (5, 30)),
    *(f"zscore:{n}" for n in (10, 60)),
    "stochastic:14,3",
    "implied_mid_gap",
    "last_side",
)
"""From trades alone: returns, order flow and gaps over 1 to 60 bars."""
BOOK_FEATURES: tuple[str, ...] = ("microprice", "quote_imbalance", "spread")
"""What the best bid and ask add where the venue sends them."""
DEFAULT_MODELS: tuple[str, ...] = ("naive", "ew_mean", "ridge:100", "ridge:1000")

_SNAPSHOT_VERSION = 2
_OLDEST_SNAPSHOT = 1
_CHALLENGERS, _MOST_CHALLENGERS = 1, 100
# Beyond these the ratio of two prices may be no number; `features.bars` has the same for ticks.
_LEAST_PRICE, _MOST_PRICE = 1e-100, 1e100


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Everything that decides what an engine computes. Equal specs and ticks give equal bits."""

    symbol: str
    bars: BarSpec = field(default_factory=BarSpec)
    features: tuple[str, ...] = DEFAULT_FEATURES
    horizons: tuple[str, ...] = ("10s", "60s")
    models: tuple[str, ...] = DEFAULT_MODELS
    coverage: float = 0.9
    first_forecast_bars: int = 10
    """Bars that must have closed before the first forecast is made."""
    ledger_half_life: float = 5000.0
    """Answers after which one counts half in the recent scores."""
    challengers: int = _CHALLENGERS
    """Slots for trained models that are scored in shadow, beside the champion's."""

    def __post_init__(self) -> None:
        if not self.horizons:
            raise SpecError("there is no horizon", "horizons", 'give at least one, for example "10s"')
        models = [str(LearnerSpec.parse(text)) for text in self.models]
        if not models or models[0] != "naive":
            raise SpecError(
                "the first model is not naive", "models", "naive comes first: it is the yardstick"
            )
        for names, where in ((models, "models"), (list(self.horizons), "horizons")):
            doubled = sorted({name for name in names if names.count(name) > 1})
            if doubled:
                raise SpecError(f"listed twice: {', '.join(doubled)}", where, "list each once")
        FeatureSet.parse(self.features)
        if not 0.5 <= self.coverage < 1.0:
            raise SpecError(f"coverage {self.coverage} is not in [0.5, 1)", "coverage")
        if self.first_forecast_bars < 1:
            raise SpecError(f"{self.first_forecast_bars} is below 1", "first_forecast_bars")
        if not 0.0 < self.ledger_half_life < math.inf:
            raise SpecError(f"{self.ledger_half_life} is no half-life", "ledger_half_life", "write 5000")
        if not 0 <= self.challengers <= _MOST_CHALLENGERS:
            raise SpecError(f"{self.challengers} is not in [0, {_MOST_CHALLENGERS}]", "challengers")
        for text in self.horizons:
            self.horizon_bars(text)
        # One form of equal numbers: 1 and 1.0 print differently, and the print is the identity.
        object.__setattr__(self, "coverage", float(self.coverage))
        object.__setattr__(self, "ledger_half_life", float(self.ledger_half_life))

    def horizon_bars(self, horizon: str) -> int:
        """Length of a horizon in bars: exact for time bars, 1 for event bars, whose pace varies."""
        ns = durations.parse_ns(horizon, "horizons")
        interval = self.bars.interval_ns
        if interval and ns % interval:
            raise SpecError(
                f"horizon {horizon} is not a multiple of the bar interval {durations.text(interval)}",
                "horizons",
            )
        return ns // interval if interval else 1

    def digest(self) -> str:
        """Identity of the settings: snapshots fit engines of equal digest."""
        # Written as before there were slots, so that states of then still fit.
        text = repr(self).replace(f", challengers={_CHALLENGERS})", ")")
        return state.digest(text.encode())

    def to_json(self) -> str:
        """The settings as JSON, to be kept with what an engine made."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> EngineSpec:
        """The settings that `to_json` wrote. Raises SpecError for settings that this release doesn't have."""
        try:
            values = json.loads(text)
            lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
            return cls(**(values | lists | {"bars": BarSpec(**values["bars"])}))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SpecError(f"these are no settings of an engine: {error}", "engine") from None


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one batch of ticks brought about, oldest first."""

    bars: Bars
    features: NDArray[np.float64]
    """One row a bar, shape (bars, features), NaN where not warm."""
    forecasts: list[Forecast]
    answers: list[Answer]

    def followed_by(self, other: Step) -> Step:
        """Both as one."""
        return Step(
            Bars.concat([self.bars, other.bars]),
            np.concatenate([self.features, other.features]),
            self.forecasts + other.forecasts,
            self.answers + other.answers,
        )


def check_references(bars: Bars) -> None:
    """Raise DataError unless every bar has a reference price that returns can be taken from."""
    references = bars.column("reference")
    if not np.all((references > _LEAST_PRICE) & (references < _MOST_PRICE)):
        raise DataError("a bar has a reference price that is none", "bars", "leave such bars out")


class SymbolEngine:
    """One symbol's bars, features, learners, forecasts and scores. Not for several threads."""

    def __init__(self, spec: EngineSpec, shelf: Shelf | None = None) -> None:
        """`shelf` has the models that swaps in the stream name; without one there may be none."""
        self.spec = spec
        self.shelf = shelf or EmptyShelf()
        self.feature_set = FeatureSet.parse(list(spec.features))
        learners = tuple(LearnerSpec.parse(text) for text in spec.models)
        horizons = [(durations.parse_ns(text), spec.horizon_bars(text)) for text in spec.horizons]
        self.horizons = spec.horizons
        self.builder = BarBuilder(spec.bars)
        self.pipeline = FeaturePipeline(self.feature_set)
        self._scaler = FeatureScaler(len(self.feature_set.columns))
        self._bar_scale = ReturnScale()
        self.model_names = (*(str(learner) for learner in learners), MIXTURE)
        self.ledger = Ledger(
            LedgerSpec(
                models=self.model_names,
                horizons_bars=tuple(bars for _, bars in horizons),
                horizon_names=self.horizons,
                coverage=spec.coverage,
                half_life=spec.ledger_half_life,
                # Slow forecasts are tested too kindly with one span: docs/scores.md has the numbers.
                lag_spans=2,
            )
        )
        self.models = ModelSlots(spec.challengers, self.ledger.spec, self.feature_set, spec.bars.pace)
        self._forecasters = [
            HorizonForecaster(
                name,
                learners,
                len(self.feature_set.columns),
                ns,
                bars,
                MixtureSpec(),
                IntervalSpec(coverage=spec.coverage),
                self.models,
                index,
            )
            for index, (name, (ns, bars)) in enumerate(zip(spec.horizons, horizons, strict=True))
        ]
        self.bars_seen = 0
        self._last = Closed(0, -1, math.nan)
        self._scaled = np.zeros(len(self.feature_set.columns))
        self._no_rows = np.zeros((0, len(self.feature_set.columns)))

    def update(self, ticks: Ticks) -> Step:
        """Feed a batch of events in order of arrival.

        Raises ModelMissing or ModelRefused at a swap whose model the shelf can't give; what came before it
        has been taken in then, and what comes after has not.
        """
        bars, at = self.builder.advance(ticks, 0)
        step = self._closed(bars)
        while at < len(ticks):
            swap = ticks.records[at]
            slot, version = int(swap["side"]), int(swap["trade_id"])
            self.swap(slot, version, self.shelf.get(version) if version else None)
            bars, at = self.builder.advance(ticks, at + 1)
            step = step.followed_by(self._closed(bars))
        return step

    def update_bars(self, bars: Bars) -> Step:
        """Feed closed bars: from `update`, or from history that is bars already.

        Raises DataError, and takes in none of them, where a bar has a price or an amount that can't be.
        """
        references = bars.column("reference").tolist()
        if not all(_LEAST_PRICE < reference < _MOST_PRICE for reference in references):
            check_references(bars)
        features = self.pipeline.update(bars)
        warm = features.warm.tolist()
        forecasts: list[Forecast] = []
        answers: list[Answer] = []
        rows = zip(*(bars.times[i].tolist() for i in range(1, 5)), references, strict=True)
        for i, (end_ns, session, event_ns, trade_id, reference) in enumerate(rows):
            bar = Closed(end_ns, session, reference)
            for forecaster in self._forecasters:
                answers += forecaster.answer(bar, self.ledger)
            self._learn_bar_scale(bar)
            self.bars_seen += 1
            missing = self._scaler.scale(features.matrix[i], self._scaled)
            if self.bars_seen >= self.spec.first_forecast_bars:
                forecasts += self._ask(bar, event_ns, trade_id, features.matrix[i], missing, warm[i])
        return Step(bars, features.matrix, forecasts, answers)

    def swap(self, slot: int, version: int, model: Model | None) -> None:
        """Put a model into a slot between two ticks, or clear it: version 0 and None.

        Slot 0 is the champion's, an expert of the mixture from its next forecast on; the others are in
        shadow. Nothing else changes: what is open keeps the opinions it was asked with, and they are scored
        for the versions that gave them. A champion that comes from a challenger's slot keeps what it has
        shown there, and that slot is empty; any other model begins anew. The version that is there already
        stays as it is. Raises DataError for no slot, ModelRefused for a model of other features or horizons.
        """
        if (version == 0) != (model is None):
            raise DataError(f"version {version} with{'out' if model is None else ''} a model", "swap")
        self.models.check(slot, model)
        if self.models.slots[slot].version == version:
            return
        source = self.models.swap(slot, version, model)
        for forecaster in self._forecasters:
            forecaster.swapped(slot, source)

    def _closed(self, bars: Bars) -> Step:
        return self.update_bars(bars) if len(bars) else Step(bars, self._no_rows, [], [])

    def _ask(
        self,
        bar: Closed,
        event_ns: int,
        trade_id: int,
        raw: NDArray[np.float64],
        missing: int,
        warm: bool,
    ) -> list[Forecast]:
        degraded = (f"{missing} of {len(self._scaled)} features are missing",) if missing else ()
        version = self.models.champion.version
        made = []
        for forecaster in self._forecasters:
            opinion = forecaster.ask(bar, self._scaled, raw, self._bar_scale.value)
            made.append(
                Forecast(
                    self.spec.symbol,
                    forecaster.name,
                    bar.end_ns,
                    bar.end_ns + forecaster.horizon_ns,
                    bar.reference,
                    opinion.expected,
                    bar.reference * math.exp(opinion.expected),
                    bar.reference * math.exp(opinion.lower),
                    bar.reference * math.exp(opinion.upper),
                    self.spec.coverage,
                    opinion.p_up,
                    MIXTURE,
                    version,
                    event_ns,
                    trade_id if trade_id != NO_ID else None,
                    warm,
                    degraded,
                )
            )
        return made

    def _learn_bar_scale(self, bar: Closed) -> None:
        before, self._last = self._last, bar
        if before.session == bar.session and before.reference > 0.0:
            self._bar_scale.learn(log_return(before.reference, bar.reference))

    def weights(self) -> dict[str, dict[str, float]]:
        """Effective weight of each learner, and of a champion, in the forecast, by horizon."""
        names = (*self.model_names[:-1], CHAMPION)
        return {
            forecaster.name: dict(zip(names, forecaster.weights, strict=False))
            for forecaster in self._forecasters
        }

    def scores(self) -> list[SlotScore]:
        """The scores of the ledger, which have version 0, then those of the models in the slots."""
        return [SlotScore(0, score) for score in self.ledger.scores()] + self.models.scores()

    def duels(self) -> list[Duel]:
        """Every challenger against the champion."""
        return self.models.duels()

    @property
    def open_questions(self) -> int:
        """Forecasts that wait for their answer, over all horizons."""
        return sum(forecaster.open_questions for forecaster in self._forecasters)

    def snapshot(self, with_models: bool = True) -> bytes:
        """The whole state. Models may be megabytes: without them, who restores has them on his shelf."""
        blocks = {
            "bars": self.builder.snapshot(),
            "pipeline": self.pipeline.snapshot(),
            "scaler": self._scaler.snapshot(),
            "ledger": self.ledger.snapshot(),
            "bar_scale": self._bar_scale.snapshot(),
            "progress": self._progress(),
            "models": self.models.snapshot(with_models),
        }
        blocks |= {f"horizon{i}": part.snapshot() for i, part in enumerate(self._forecasters)}
        return state.pack("engine", _SNAPSHOT_VERSION, self.spec.digest(), blocks)

    @classmethod
    def restore(cls, spec: EngineSpec, data: bytes, shelf: Shelf | None = None) -> SymbolEngine:
        """The engine as it was. Raises SnapshotError for damaged, newer or other engines' data.

        The models in its slots come with the data, or from the shelf, like those of swaps to come; what the
        shelf raises is raised.
        """
        blocks = state.unpack("engine", _SNAPSHOT_VERSION, spec.digest(), data, _OLDEST_SNAPSHOT)
        engine = cls(spec, shelf)
        if "models" in blocks:
            engine.models.load(blocks["models"], engine.shelf)
        engine.builder = BarBuilder.restore(spec.bars, blocks["bars"])
        engine.pipeline = FeaturePipeline.restore(engine.feature_set, blocks["pipeline"])
        engine._scaler.load(blocks["scaler"])
        engine.ledger = Ledger.restore(engine.ledger.spec, blocks["ledger"])
        engine._bar_scale.load(blocks["bar_scale"])
        progress = state.unpack_arrays(blocks["progress"])
        engine.bars_seen, end_ns, session = progress["counts"].tolist()
        engine._last = Closed(end_ns, session, float(progress["reference"][0]))
        for i, forecaster in enumerate(engine._forecasters):
            forecaster.load(blocks[f"horizon{i}"])
        return engine

    def digest(self) -> str:
        """Hash of the whole state: equal digests mean equal behaviour from here on."""
        parts = [self.builder.digest(), self.pipeline.digest(), self._scaler.digest(), self.ledger.digest()]
        parts.append(self.models.digest())
        parts += [forecaster.digest() for forecaster in self._forecasters]
        return state.digest(
            self._progress(), self._bar_scale.digest().encode(), *(part.encode() for part in parts)
        )

    def _progress(self) -> bytes:
        counts = np.array([self.bars_seen, self._last.end_ns, self._last.session], np.int64)
        return state.pack_arrays(counts=counts, reference=np.array([self._last.reference]))
