"""One horizon of one symbol: asks, answers, scores, learns.

At every closed bar the engine calls `answer` first, which settles the questions that have come due
(score, then learn), then `ask`, which makes a new forecast. Trained models that are in the engine's slots
are asked the same questions: see `features.horizon_slots`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features import state
from features.forecast import Answer
from features.horizon_slots import HorizonSlots
from features.labels import Closed, Question, QuestionQueue
from features.ledger import Ledger
from features.model_slots import ModelSlots
from features.models.catalogue import LearnerSpec
from features.models.conformal import RETURN_BOUND, Interval, IntervalSpec, IntervalTracker
from features.models.experts import Mixture, MixtureSpec
from features.models.scaling import ReturnScale

Row = NDArray[np.float64]

MIXTURE = "mixture"
"""Name of the mixture in the ledger; its score is the forecast's score."""

LEARNED_BOUND = 20.0
"""Learners are told outcomes cut at so many units of scale."""

# Places in a question's note; the interval's seven numbers end at _FIXED.
_SCALE, _MIXED, _EXPECTED, _INTERVAL, _FIXED = 0, 1, 2, 3, 10


class Opinion(NamedTuple):
    """What a forecaster says at one bar, as log returns over the horizon."""

    expected: float
    lower: float
    upper: float
    p_up: float


class HorizonForecaster:
    """Learners, mixture, interval and open questions of one horizon."""

    def __init__(
        self,
        name: str,
        learners: tuple[LearnerSpec, ...],
        features: int,
        horizon_ns: int,
        horizon_bars: int,
        mixture: MixtureSpec,
        interval: IntervalSpec,
        slots: ModelSlots,
        index: int,
    ) -> None:
        """`index` is that of the horizon in the ledgers."""
        self.horizon_ns = horizon_ns
        self._index = index
        self.name = name
        self._root_bars = math.sqrt(horizon_bars)
        self._learners = [spec.build(features, horizon_bars) for spec in learners]
        self._mixture = Mixture(mixture, len(learners), horizon_bars)
        self._tracker = IntervalTracker(interval, horizon_bars)
        self._scale = ReturnScale()
        n = len(learners)
        self.models = HorizonSlots(name, index, slots, self._mixture, n)
        self._forecasts = slice(_FIXED, _FIXED + n)
        self._trusted = slice(_FIXED + n, _FIXED + 2 * n)
        self._row = slice(_FIXED + 2 * n, _FIXED + 2 * n + features)
        self._models_said = self._row.stop
        self._note = np.zeros(self._models_said + self.models.width)
        self._queue = QuestionQueue(len(self._note))
        # The mixture comes last in the ledger's rows, and is the only one with an interval.
        self._said = np.zeros(n + 1)
        self._said_by_learners = self._said[:-1]
        self._lower = np.full(n + 1, np.nan)
        self._upper = np.full(n + 1, np.nan)

    def answer(self, bar: Closed, ledger: Ledger) -> list[Answer]:
        """Settle what this bar answers: score in the ledger, then learn."""
        return [self._settle(question, ledger) for question in self._queue.answer(bar)]

    def ask(self, bar: Closed, row: Row, raw: Row, bar_scale: float) -> Opinion:
        """Forecast at this bar from its features, scaled and as they are, shape (k,); remember the question.

        `bar_scale` is the usual size of a return from bar to bar: what a random walk would do over the
        horizon is the first guess of the interval's width.
        """
        note = self._note
        scale = self._scale.value
        forecasts = note[self._forecasts]
        for i, learner in enumerate(self._learners):
            forecasts[i] = learner.predict(row)
        if self.models.active:
            said = note[self._models_said :]
            mixed = self.models.ask(raw, scale, forecasts, note[self._trusted], said)
        else:
            mixed = self._mixture.mix(forecasts, note[self._trusted])
        expected = min(max(mixed * scale, -RETURN_BOUND), RETURN_BOUND)
        given = self._tracker.interval(expected, bar_scale * self._root_bars)
        note[_SCALE], note[_MIXED], note[_EXPECTED] = scale, mixed, expected
        note[_INTERVAL:_FIXED] = given
        note[self._row] = row
        self._queue.ask(bar, bar.end_ns + self.horizon_ns, note)
        return Opinion(expected, given.lower, given.upper, given.p_up)

    def swapped(self, slot: int, source: int | None) -> None:
        """Called after a swap; `source` is the slot that the champion was promoted from."""
        self.models.swapped(slot, source)
        self._note[self._models_said :] = 0.0

    def _settle(self, question: Question, ledger: Ledger) -> Answer:
        note, outcome = question.note, question.outcome
        scale, mixed, expected, *interval = note[:_FIXED].tolist()
        given = Interval(*interval)
        answer = Answer(
            self.name,
            question.made_at_ns,
            question.due_ns,
            question.price,
            expected,
            given.lower,
            given.upper,
            outcome,
        )
        models_said = note[self._models_said :] if note[self._models_said] else None
        if not math.isfinite(outcome):
            ledger.void(self._index)
            if models_said is not None:
                self.models.void(models_said)
            return answer
        forecasts, row = note[self._forecasts], note[self._row]
        np.multiply(forecasts, scale, out=self._said_by_learners)
        self._said[-1] = expected
        self._lower[-1], self._upper[-1] = given.lower, given.upper
        ledger.record(self._index, outcome, self._said, self._lower, self._upper)
        scaled = outcome / scale
        if models_said is None:
            self._mixture.learn(forecasts, note[self._trusted], mixed, scaled)
        else:
            self.models.settle(models_said, scale, outcome, forecasts, note[self._trusted], mixed)
        self._tracker.learn(expected, given, outcome)
        bounded = min(max(scaled, -LEARNED_BOUND), LEARNED_BOUND)
        for learner in self._learners:
            learner.learn(row, bounded)
        self._scale.learn(outcome)
        return answer

    @property
    def open_questions(self) -> int:
        """Forecasts that wait for their answer."""
        return len(self._queue)

    @property
    def weights(self) -> list[float]:
        """Effective weight of each learner in the forecast: weight times trust; a champion comes last."""
        return [float(x) for x in self._mixture.weights * self._mixture.trust]

    def snapshot(self) -> bytes:
        """The whole state."""
        blocks = {name: part.snapshot() for name, part in self._parts().items()}
        return state.pack("forecaster", 1, self.name, blocks)

    def load(self, data: bytes) -> None:
        """Take over the state of a forecaster with the same settings."""
        blocks = state.unpack("forecaster", 1, self.name, data)
        for name, part in self._parts().items():
            if name in blocks:  # an older release had no slots
                part.load(blocks[name])

    def digest(self) -> str:
        """Hash of the state."""
        return state.digest(*(part.digest().encode() for part in self._parts().values()))

    def _parts(self) -> dict[str, state.Stateful]:
        parts: dict[str, state.Stateful] = {
            "mixture": self._mixture,
            "tracker": self._tracker,
            "scale": self._scale,
            "queue": self._queue,
            "models": self.models,
        }
        return parts | {f"learner{i}": learner for i, learner in enumerate(self._learners)}
