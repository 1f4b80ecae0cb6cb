"""Walk-forward training: at every boundary a new model, from the rows that are known by then.

    spec = RetrainSpec.parse("every=7d,window=30d,embargo=1h,library=lightgbm")
    retrainer = Retrainer(spec, engine_spec, trainer)
    rows = retrainer.rows_before(batch)     # feed so many, then call `train` if there are more
    retrainer.take_in(block)

A model is trained when the first event after a boundary is seen and before it is fed, on rows that were made
within the window and answered the embargo before the boundary: purged of every label that reaches beyond. The
next bar is then asked of it, as of a live champion that was swapped in between two ticks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from features import durations, state
from features.bars import Bars
from features.bulk import Block
from features.dataset import Dataset
from features.engine import EngineSpec
from features.errors import SpecError
from features.models.package import ModelPackage
from features.rolling_dataset import RollingDataset
from features.spec import FeatureSet
from features.ticks import Ticks

_WHERE = "retrain"

Trainer = Callable[[Mapping[str, Dataset], EngineSpec], ModelPackage | None]
"""Trains a model on the rows of every horizon; None where they are too few. Equal rows, equal model."""


@dataclass(frozen=True, slots=True)
class RetrainSpec:
    """When a batch model is trained anew, and on what. Raises SpecError for what can't be."""

    every_ns: int
    """Boundaries are the multiples of it since 1970 UTC."""
    window_ns: int
    """Rows are asked at most so long before the boundary."""
    embargo_ns: int = 0
    """Rows must be answered so long before the boundary."""
    library: str = "lightgbm"
    options: tuple[tuple[str, str], ...] = ()
    """Anything else, for the trainer."""

    @classmethod
    def parse(cls, text: str) -> RetrainSpec:
        """Read "every=7d,window=30d,embargo=1h,library=lightgbm,name=value"."""
        values: dict[str, object] = {}
        options: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, equals, value = (word.strip() for word in part.partition("="))
            if not equals or not value or {name, f"{name}_ns"} & (options.keys() | values.keys()):
                raise SpecError(f"{part!r} can't be read", _WHERE, "write name=value, each once")
            if f"{name}_ns" in {field.name for field in fields(cls)}:
                values[f"{name}_ns"] = durations.parse_ns(value, f"{_WHERE}.{name}")
            elif name == "library":
                values[name] = value
            else:
                options[name] = value
        for name in ("every", "window"):
            if f"{name}_ns" not in values:
                raise SpecError(f"{name} is missing", _WHERE, 'write for example "every=7d,window=30d"')
        return cls(**values, options=tuple(sorted(options.items())))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that is swapped in at a boundary."""

    version: int
    """1, 2 … within the symbol's run."""
    at_ns: int
    package: ModelPackage
    rows: int
    """Trained on, over all horizons."""
    first_ns: int
    """When the first of them was asked."""
    last_due_ns: int
    """When the last of them was due: at or before `at_ns` less the embargo."""


class Retrainer:
    """Knows the boundaries, keeps the rows of the window, and trains. Not for several threads."""

    def __init__(self, spec: RetrainSpec, engine: EngineSpec, trainer: Trainer) -> None:
        self._spec = spec
        self._engine = engine
        self._trainer = trainer
        features = FeatureSet.parse(list(engine.features))
        horizons = {name: durations.parse_ns(name) for name in engine.horizons}
        self._rows = RollingDataset(features, horizons, spec.window_ns, engine.first_forecast_bars)
        self._boundary_ns: int | None = None
        self._version = 0

    def rows_before(self, batch: Bars | Ticks) -> int:
        """How many rows of a batch come before the next boundary: all, or those up to the first beyond it.

        A bar comes when it ends, a tick at its venue time.
        """
        times = batch.ts_ns if isinstance(batch, Ticks) else batch.end_ns
        if self._boundary_ns is None:
            self._boundary_ns = self._after(int(times[0]))
        beyond = times > self._boundary_ns
        return int(np.argmax(beyond)) if beyond.any() else len(times)

    def take_in(self, block: Block) -> None:
        """Remember what the engine was fed and computed."""
        self._rows.add(block.bars, block.features)

    def train(self, batch: Bars | Ticks) -> Trained | None:
        """The model of the last boundary before the first row of a batch; None where rows are too few.

        Call it where `rows_before` says 0, before that row is fed.
        """
        first_ns = int((batch.ts_ns if isinstance(batch, Ticks) else batch.end_ns)[0])
        # Where nothing happened for long, the boundaries that have passed meanwhile are one.
        self._boundary_ns = self._after(first_ns)
        at_ns = self._boundary_ns - self._spec.every_ns
        rows = {
            name: self._rows.dataset(name, at_ns, self._spec.embargo_ns) for name in self._engine.horizons
        }
        package = self._trainer(rows, self._engine) if any(len(one) for one in rows.values()) else None
        if package is None:
            return None
        self._version += 1
        known = [one for one in rows.values() if len(one)]
        return Trained(
            self._version,
            at_ns,
            package,
            sum(len(one) for one in known),
            min(int(one.made_at_ns.min()) for one in known),
            max(int(one.due_ns.max()) for one in known),
        )

    def snapshot(self) -> bytes:
        """The whole state; the model is in the engine's."""
        progress = {"boundary_ns": self._boundary_ns, "version": self._version}
        blocks = {"rows": self._rows.snapshot(), "progress": json.dumps(progress).encode()}
        return state.pack("retrainer", 1, self._engine.digest(), blocks)

    def load(self, data: bytes) -> None:
        """Take over the state of one with the same settings. Raises SnapshotError."""
        blocks = state.unpack("retrainer", 1, self._engine.digest(), data)
        self._rows.load(blocks["rows"])
        progress = json.loads(blocks["progress"])
        self._boundary_ns, self._version = progress["boundary_ns"], progress["version"]

    def _after(self, time_ns: int) -> int:
        """The first boundary at or after a time."""
        return -(-time_ns // self._spec.every_ns) * self._spec.every_ns
