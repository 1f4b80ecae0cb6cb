"""Slots for trained models: who is in each, and how it has done.

Slot 0 is the champion's, an expert of the mixture; the others are challengers', in shadow: they are asked
and scored at the same bars and never heard. Models are made by jobs, come in versions, and don't learn here.

A question remembers what every model had said, and which version it was. What is answered counts for that
version: where it is now, if it is still there, and never for another one.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features import state
from features.errors import DataError, ModelMissing, ModelRefused, SnapshotError
from features.ledger import Ledger, LedgerSpec, Score
from features.models.package import ModelPackage
from features.spec import FeatureSet

CHAMPION = "champion"
CHALLENGER = "challenger"
_MODEL = "model"


class Model(Protocol):
    """What the engine asks of a trained model; `ModelPackage` is one."""

    @property
    def feature_digest(self) -> str:
        """Identity of the features that it takes: that of their `FeatureSet`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of their columns, in order."""

    @property
    def bars(self) -> str:
        """The pace of the bars that it was trained on, as `BarSpec.pace` has it; "" where not known."""

    @property
    def horizons(self) -> Collection[str]:
        """The horizons that it speaks of."""

    def opinion(
        self, horizon: str, x_raw: NDArray[np.float64], scale: float
    ) -> tuple[float, float, float, float]:
        """Expected, lower and upper log return over the horizon, and the probability of a rise, from the
        features as they are (NaN: missing) and the horizon's usual size of a return. NaN: not said."""

    def to_bytes(self) -> bytes:
        """The whole model."""


class Shelf(Protocol):
    """Where an engine gets models from that a swap in the stream names."""

    def get(self, version: int) -> Model:
        """The model of this version. Raises ModelMissing, or ModelRefused for one that is damaged."""


class EmptyShelf:
    """The shelf of who has no models."""

    def get(self, version: int) -> Model:
        """Raises ModelMissing."""
        raise ModelMissing(version)


def slot_name(slot: int) -> str:
    """How a slot is called: champion, challenger1, challenger2 …"""
    return f"{CHALLENGER}{slot}" if slot else CHAMPION


def slot_number(name: str) -> int:
    """The slot of this name. Raises DataError."""
    number = name.removeprefix(CHALLENGER)
    if name == CHAMPION:
        return 0
    if number != name and number.isdecimal() and int(number) > 0:
        return int(number)
    raise DataError(f"there is no slot {name!r}", "slots", "use champion, challenger1 …")


@dataclass(frozen=True, slots=True)
class SlotScore:
    """How the model in a slot did at one horizon, against the naive forecast."""

    version: int
    score: Score


@dataclass(frozen=True, slots=True)
class Duel:
    """A challenger against the champion, on the questions that both were asked.

    The champion is the yardstick of `score`, where naive is elsewhere: `r2` is the share of its squared
    error that the challenger saves, `dm` and `dm_p` say how sure that is. Without a champion it is naive.
    """

    version: int
    champion: int
    """Version of the champion; 0: there is none, or it does not speak of this horizon."""
    score: Score


class ModelSlot:
    """One slot. An empty one has version 0, and its scores count nothing."""

    def __init__(self, number: int, spec: LedgerSpec) -> None:
        self.number = number
        self.name = slot_name(number)
        self._spec = spec
        self.version = 0
        self.model: Model | None = None
        self.ledger = Ledger(spec)
        self.duel = Ledger(spec)
        """Answers less what the champion had said; of a challenger alone."""
        self._bytes = b""

    def speaks(self, horizon: str) -> bool:
        """Whether there is a model that speaks of this horizon."""
        return self.model is not None and horizon in self.model.horizons

    def install(self, version: int, model: Model | None) -> None:
        """Put a model in, or none, with nothing shown so far."""
        self.version, self.model, self._bytes = version, model, b""
        self.ledger, self.duel = Ledger(self._spec), Ledger(self._spec)

    def take_from(self, other: ModelSlot) -> None:
        """Take over a model with the scores that it has; the other slot is empty then."""
        ledger = other.ledger
        self.install(other.version, other.model)
        self.ledger = ledger
        other.install(0, None)

    def snapshot(self, with_model: bool) -> bytes:
        """The whole state, the model included or only named."""
        blocks = {"version": struct.pack("<q", self.version)}
        if self.model is not None:
            if with_model and not self._bytes:
                self._bytes = self.model.to_bytes()
            blocks["model"] = self._bytes if with_model else b""
            blocks |= {"ledger": self.ledger.snapshot(), "duel": self.duel.snapshot()}
        return state.pack("slot", 1, self.name, blocks)

    def load(self, data: bytes, shelf: Shelf) -> None:
        """Take over a state; a model that is only named comes from the shelf.

        Raises SnapshotError, and what the shelf raises.
        """
        blocks = state.unpack("slot", 1, self.name, data)
        (version,) = struct.unpack("<q", blocks["version"])
        self.install(0, None)
        if not version:
            return
        packed = blocks["model"]
        try:
            self.install(version, ModelPackage.from_bytes(packed) if packed else shelf.get(version))
        except ModelRefused as error:
            if not packed:
                raise
            problem = f"the model in it can't be used: {error.problem}"
            raise SnapshotError(problem, self.name, "use an older one") from None
        self._bytes = packed
        self.ledger = Ledger.restore(self._spec, blocks["ledger"])
        self.duel = Ledger.restore(self._spec, blocks["duel"])

    def digest(self) -> str:
        """Hash of the state."""
        return state.digest(
            struct.pack("<q", self.version), self.ledger.digest().encode(), self.duel.digest().encode()
        )


class ModelSlots:
    """All slots of an engine."""

    def __init__(self, challengers: int, spec: LedgerSpec, features: FeatureSet, bars: str = "") -> None:
        """`spec` is that of the engine's ledger, for horizons and coverage; `bars` the pace of its bars."""
        self._spec = replace(spec, models=(_MODEL,))
        self._features = features
        self._bars = bars
        self.slots = [ModelSlot(number, self._spec) for number in range(1 + challengers)]

    @property
    def champion(self) -> ModelSlot:
        """Slot 0."""
        return self.slots[0]

    @property
    def versions(self) -> dict[str, int]:
        """The version in each slot, by its name; 0 for an empty one."""
        return {slot.name: slot.version for slot in self.slots}

    def version(self, slot: int) -> int:
        """The version in a slot, 0 for none. Raises DataError where there is no such slot."""
        self.check(slot, None)
        return self.slots[slot].version

    def check(self, slot: int, model: Model | None) -> None:
        """Raise DataError where there is no such slot, ModelRefused for a model that doesn't fit."""
        if not 0 <= slot < len(self.slots):
            names = ", ".join(self.versions)
            raise DataError(f"there is no slot {slot}", "slots", f"there are {len(self.slots)}: {names}")
        if model is None:
            return
        if model.feature_digest != self._features.digest:
            odd = sorted(set(model.columns) ^ set(self._features.columns))
            problem = f"it was trained on other features ({', '.join(odd[:5]) or 'or in another order'})"
            raise ModelRefused(problem, slot_name(slot), "train one on the features of this configuration")
        if model.bars and self._bars and model.bars != self._bars:
            raise ModelRefused(
                f"it was trained on bars of {model.bars}, not {self._bars}",
                slot_name(slot),
                "train one on the bars of this configuration",
            )
        if not set(model.horizons) & set(self._spec.horizon_names):
            raise ModelRefused(
                f"it speaks of {', '.join(model.horizons)} alone",
                slot_name(slot),
                f"train one for {', '.join(self._spec.horizon_names)}",
            )

    def swap(self, slot: int, version: int, model: Model | None) -> int | None:
        """Put a model into a slot. Returns the slot that a champion came from, with what it has shown."""
        source = None
        if slot == 0 and version:
            source = next((one.number for one in self.slots[1:] if one.version == version), None)
        if source is None:
            self.slots[slot].install(version, model)
        else:
            self.champion.take_from(self.slots[source])
        if slot == 0:
            for one in self.slots[1:]:  # there is another to be compared with
                one.duel = Ledger(self._spec)
        return source

    def scores(self) -> list[SlotScore]:
        """The scores of all models, slot by slot; empty slots have none."""
        return [
            SlotScore(slot.version, replace(score, model=slot.name))
            for slot in self.slots
            if slot.version
            for score in slot.ledger.scores()
            if slot.speaks(score.horizon)
        ]

    def duels(self) -> list[Duel]:
        """Every challenger against the champion, horizon by horizon."""
        return [
            Duel(
                slot.version,
                self.champion.version if self.champion.speaks(score.horizon) else 0,
                replace(score, model=slot.name),
            )
            for slot in self.slots[1:]
            if slot.version
            for score in slot.duel.scores()
            if slot.speaks(score.horizon)
        ]

    def snapshot(self, with_models: bool) -> bytes:
        """The whole state, the models included or only named."""
        return state.pack("slots", 1, "", {slot.name: slot.snapshot(with_models) for slot in self.slots})

    def load(self, data: bytes, shelf: Shelf) -> None:
        """Take over a state; models that are only named come from the shelf. Raises SnapshotError."""
        blocks = state.unpack("slots", 1, "", data)
        for slot in self.slots:
            slot.load(blocks[slot.name], shelf)

    def digest(self) -> str:
        """Hash of the state."""
        return state.digest(*(slot.digest().encode() for slot in self.slots))


def as_plain(one: SlotScore | Duel) -> dict[str, Any]:
    """A score as plain JSON values, with the version it is of; a duel's also with the champion's."""
    values = one.score.as_dict() | {"version": one.version}
    return values | {"champion": one.champion} if isinstance(one, Duel) else values
