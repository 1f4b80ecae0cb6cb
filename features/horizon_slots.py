"""The trained models of one horizon: what they say at a bar, and what becomes of it.

Called by `features.forecaster`. What the models said is written into the question's note, so that it is
scored for the version that said it, whatever is in the slots when the answer comes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from features import state
from features.model_slots import ModelSlot, ModelSlots
from features.models.experts import Bystander, Mixture

Row = NDArray[np.float64]

# What a note says of one slot: the version (0: nothing was said), the forecast and what it was trusted with
# in units of the horizon's scale, the bounds as log returns.
_VERSION, _FORECAST, _TRUSTED, _LOWER, _UPPER, _FIELDS = range(6)


class HorizonSlots:
    """What the models in an engine's slots do at one horizon."""

    def __init__(self, name: str, index: int, slots: ModelSlots, mixture: Mixture, learners: int) -> None:
        """`index` is that of the horizon in the slots' ledgers."""
        self._name = name
        self._index = index
        self._slots = slots
        self._mixture = mixture
        self._bystanders: list[Bystander | None] = [None] * len(slots.slots)
        self._experts, self._trusted = np.zeros(learners + 1), np.zeros(learners + 1)
        self.active = False
        """Whether any model speaks of this horizon."""
        self.width = 1 + _FIELDS * len(slots.slots)
        """Places in a note: whether anything was said, then the fields of every slot."""

    def swapped(self, slot: int, source: int | None) -> None:
        """Called after a swap; `source` is the slot that the champion was promoted from."""
        speaks = self._slots.slots[slot].speaks(self._name)
        if slot:
            self._bystanders[slot] = self._mixture.bystander() if speaks else None
        else:
            if self._mixture.has_guest:
                self._mixture.dismiss()
            if speaks:
                shown = None if source is None else self._bystanders[source]
                self._mixture.admit(shown or self._mixture.bystander())
            if source is not None:
                self._bystanders[source] = None
        self._look()

    def ask(self, raw: Row, scale: float, forecasts: Row, trusted: Row, note: Row) -> float:
        """What the mixture says, with the champion where there is one; called where `active`.

        `raw` are the features as they are, `forecasts` those of the learners in units of `scale`. Fills
        `trusted`, and `note`, shape (width,).
        """
        note[0] = 1.0
        said = note[1:].reshape(-1, _FIELDS)
        said[:] = 0.0
        for i, slot in enumerate(self._slots.slots):
            if slot.model is None or not slot.speaks(self._name):
                continue
            expected, lower, upper, _ = slot.model.opinion(self._name, raw, scale)
            forecast = expected / scale
            beside = self._bystanders[i]
            said[i] = slot.version, forecast, beside.trusted(forecast) if beside else 0.0, lower, upper
        if not self._mixture.has_guest:
            return self._mixture.mix(forecasts, trusted)
        self._experts[:-1], self._experts[-1] = forecasts, said[0, _FORECAST]
        mixed = self._mixture.mix(self._experts, self._trusted)
        trusted[:], said[0, _TRUSTED] = self._trusted[:-1], self._trusted[-1]
        return mixed

    def void(self, note: Row) -> None:
        """Count a question without an answer for those who were asked."""
        for i, version in enumerate(note[1:].reshape(-1, _FIELDS)[:, _VERSION].tolist()):
            holder = self._holder(i, version, note)
            if holder is not None:
                holder.ledger.void(self._index)

    def settle(
        self, note: Row, scale: float, outcome: float, forecasts: Row, trusted: Row, mixed: float
    ) -> None:
        """Score an answered question for the models that were asked, and let the mixture learn from it.

        The other arguments are what `ask` was given and gave; `outcome` is a log return.
        """
        rows = note[1:].reshape(-1, _FIELDS)
        champion = rows[0]
        yardstick = float(champion[_FORECAST]) * scale if champion[_VERSION] else 0.0
        scaled = outcome / scale
        asked = False
        for i, row in enumerate(rows):
            version, forecast, trust, lower, upper = row.tolist()
            holder = self._holder(i, version, note)
            if holder is None:
                continue
            said = forecast * scale
            holder.ledger.record(self._index, outcome, (said,), (lower,), (upper,))
            if holder.number:
                if champion[_VERSION] == self._opponent():
                    nothing = (math.nan,)
                    holder.duel.record(
                        self._index, outcome - yardstick, (said - yardstick,), nothing, nothing
                    )
                beside = self._bystanders[i]
                if beside:
                    beside.learn(forecast, trust, mixed, scaled)
            elif i:
                # Asked as a challenger, and champion since.
                self._mixture.learn_guest(forecast, trust, mixed, scaled)
            else:
                asked = True
        if asked:
            self._experts[:-1], self._experts[-1] = forecasts, champion[_FORECAST]
            self._trusted[:-1], self._trusted[-1] = trusted, champion[_TRUSTED]
            self._mixture.learn(self._experts, self._trusted, mixed, scaled)
        else:
            self._mixture.learn(forecasts, trusted, mixed, scaled)

    def snapshot(self) -> bytes:
        """What the challengers have shown; the mixture keeps it for the champion."""
        names = {f"{i}": one.state for i, one in enumerate(self._bystanders) if one}
        return state.pack_arrays(**names)

    def load(self, data: bytes) -> None:
        """Take over a state, when the slots and the mixture have theirs."""
        arrays = state.unpack_arrays(data)
        for i in range(len(self._bystanders)):
            self._bystanders[i] = None
            if str(i) in arrays:
                beside = self._mixture.bystander()
                beside.state = arrays[str(i)]
                self._bystanders[i] = beside
        self._look()

    def digest(self) -> str:
        """Hash of the state."""
        return state.digest(self.snapshot())

    def _look(self) -> None:
        self.active = any(slot.speaks(self._name) for slot in self._slots.slots)

    def _holder(self, i: int, version: float, note: Row) -> ModelSlot | None:
        """The slot that has the version which slot i had when the question was asked: where it was, or
        the champion's if it was promoted since."""
        if not version:
            return None
        slot, champion = self._slots.slots[i], self._slots.champion
        if slot.version == version:
            return slot
        return champion if champion.version == version and note[1 + _VERSION] != version else None

    def _opponent(self) -> int:
        """The version that challengers are compared with; 0: naive."""
        champion = self._slots.champion
        return champion.version if champion.speaks(self._name) else 0
