"""One horizon: forecast, wait, score, learn, in this order and never with an answer too early."""

from __future__ import annotations

import math

import numpy as np
import pytest

from features.errors import SnapshotError
from features.forecast import Answer
from features.forecaster import MIXTURE, HorizonForecaster, Opinion
from features.labels import Closed
from features.ledger import Ledger, LedgerSpec
from features.model_slots import ModelSlots
from features.models.catalogue import LearnerSpec
from features.models.conformal import RETURN_BOUND, IntervalSpec
from features.models.experts import MixtureSpec
from features.spec import FeatureSet

MODELS = ("naive", "ew_mean:0.01", "ridge:5,0.999")


def forecaster(bars: int = 2, name: str = "h") -> HorizonForecaster:
    """Of a horizon of so many bars; a bar is 10 ns, a row has two features."""
    learners = tuple(LearnerSpec.parse(text) for text in MODELS)
    slots = ModelSlots(0, ledger(bars).spec, FeatureSet.parse(["log_return:1", "log_return:2"]))
    return HorizonForecaster(name, learners, 2, 10 * bars, bars, MixtureSpec(), IntervalSpec(), slots, 0)


def ledger(bars: int = 2) -> Ledger:
    return Ledger(LedgerSpec((*MODELS, MIXTURE), (bars,), ("h",), 0.9, 100.0))


def market(n: int, seed: int = 0, move: float = 1e-3) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and prices whose move over the next bar leans on the first feature."""
    random = np.random.default_rng(seed)
    rows = np.clip(random.standard_normal((n, 2)), -5.0, 5.0)
    moves = move * (0.7 * rows[:, 0] + random.standard_normal(n))
    return rows, 100.0 * np.exp(np.concatenate([[0.0], np.cumsum(moves)[:-1]]))


def run(
    subject: HorizonForecaster, book: Ledger, rows: np.ndarray, prices: np.ndarray, first: int = 0
) -> tuple[list[Opinion], list[list[Answer]]]:
    """Bars from number `first` on; what was said at each, and what each answered."""
    opinions, answers = [], []
    for i, (row, price) in enumerate(zip(rows, prices.tolist(), strict=True), start=first):
        bar = Closed(10 * i, 0, price)
        answers.append(subject.answer(bar, book))
        opinions.append(subject.ask(bar, row, row, 1e-3))
    return opinions, answers


def test_each_bar_answers_the_question_of_one_horizon_before() -> None:
    rows, prices = market(40)
    opinions, answers = run(forecaster(3), ledger(3), rows, prices)
    assert [len(found) for found in answers] == [0] * 3 + [1] * 37
    for i, (answer,) in enumerate(answers[3:]):
        assert (answer.made_at_ns, answer.due_ns, answer.price) == (10 * i, 10 * (i + 3), prices[i])
        assert answer.outcome == math.log(prices[i + 3] / prices[i])
        said = opinions[i]
        assert (answer.forecast, answer.lower, answer.upper) == (said.expected, said.lower, said.upper)


def test_nothing_is_learned_before_the_answer_is_known() -> None:
    rows, prices = market(300)
    known, _ = run(forecaster(5), ledger(5), rows, prices)
    # Other prices in the last five bars: no forecast made so far may differ.
    other = prices.copy()
    other[-5:] *= 3.0
    changed, _ = run(forecaster(5), ledger(5), rows, other)
    assert changed[:-5] == known[:-5]
    assert changed[-1] != known[-1]


def test_the_ledger_has_what_every_model_and_the_mixture_had_said() -> None:
    rows, prices = market(3000)
    subject, book = forecaster(1), ledger(1)
    _, answers = run(subject, book, rows, prices)
    settled = [answer for found in answers for answer in found]
    outcomes = np.array([answer.outcome for answer in settled])
    said = np.array([answer.forecast for answer in settled])
    inside = np.mean([answer.lower <= answer.outcome <= answer.upper for answer in settled])
    score = book.score(MIXTURE, "h").lifetime
    assert score.mse == pytest.approx(((outcomes - said) ** 2).mean(), rel=1e-9)
    assert score.coverage == pytest.approx(inside, abs=1e-9)
    assert {book.score(name, "h").count for name in (*MODELS, MIXTURE)} == {2999}
    assert book.score("naive", "h").lifetime.r2 == 0.0
    assert score.r2 > 0.15
    assert book.score("ridge:5,0.999", "h").lifetime.r2 > 0.25
    assert math.isnan(book.score("ridge:5,0.999", "h").lifetime.coverage)
    assert sum(subject.weights) <= 1.0 + 1e-12
    assert subject.weights[2] == max(subject.weights)


def test_a_void_question_is_counted_and_teaches_nothing() -> None:
    rows, prices = market(50)
    taught, untaught, book = forecaster(2), forecaster(2), ledger(2)
    run(taught, book, rows, prices)
    run(untaught, ledger(2), rows, prices)
    before = untaught._mixture.digest(), untaught._tracker.digest(), untaught._scale.digest()
    learners = [learner.digest() for learner in untaught._learners]
    voided = untaught.answer(Closed(1_000, 1, 100.0), book)
    assert [math.isnan(answer.outcome) for answer in voided] == [True, True]
    assert book.score(MIXTURE, "h").voided == 2
    assert untaught.open_questions == 0
    assert (untaught._mixture.digest(), untaught._tracker.digest(), untaught._scale.digest()) == before
    assert [learner.digest() for learner in untaught._learners] == learners


def test_no_forecast_leaves_the_numbers_that_have_a_price() -> None:
    prices = np.where(np.arange(3000) % 2, 1e90, 1e-90)
    rows = np.where(np.arange(3000)[:, None] % 2, 1.0, -1.0) * np.ones(2)
    opinions, _ = run(forecaster(1), ledger(1), rows, prices)
    for said in opinions:
        assert -RETURN_BOUND <= said.lower <= said.expected <= said.upper <= RETURN_BOUND
    # The leaps of 414 are learned, and cut where they are said.
    assert abs(opinions[-1].expected) == RETURN_BOUND


def test_a_learner_that_breaks_is_left_out_and_counted() -> None:
    rows, prices = market(200)
    subject, book = forecaster(1), ledger(1)
    broken = subject._learners[2]
    broken.predict = lambda x: math.nan  # type: ignore[method-assign]
    opinions, _ = run(subject, book, rows, prices)
    assert all(math.isfinite(value) for said in opinions for value in said)
    assert book.score("ridge:5,0.999", "h").invalid == 199
    assert book.score(MIXTURE, "h").invalid == 0


def test_it_goes_on_to_the_bit_from_a_snapshot() -> None:
    rows, prices = market(400)
    whole, book = forecaster(4), ledger(4)
    want, _ = run(whole, book, rows, prices)
    half, half_book = forecaster(4), ledger(4)
    run(half, half_book, rows[:200], prices[:200])
    rest = forecaster(4)
    rest.load(half.snapshot())
    assert rest.digest() == half.digest()
    said, _ = run(rest, half_book, rows[200:], prices[200:], first=200)
    assert said == want[200:]
    assert rest.digest() == whole.digest()
    assert half_book.digest() == book.digest()
    assert rest.open_questions == whole.open_questions == 4


def test_a_snapshot_of_another_horizon_is_refused() -> None:
    with pytest.raises(SnapshotError, match="other settings"):
        forecaster(name="other").load(forecaster().snapshot())
