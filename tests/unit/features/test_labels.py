"""A question is answered by the last bar that ends at or before it is due, or by none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.labels import Closed, Question, QuestionQueue

NOTE = np.array([7.0])


def bar(end: int, reference: float, session: int = 0) -> Closed:
    return Closed(end, session, reference)


def run(bars: list[Closed], horizon: int) -> list[Question]:
    """Ask at every bar, with its place as note; all answers in order."""
    queue = QuestionQueue(1)
    answers: list[Question] = []
    for place, closed in enumerate(bars):
        answers += queue.answer(closed)
        queue.ask(closed, closed.end_ns + horizon, np.array([float(place)]))
    return answers


def test_a_question_is_answered_by_the_bar_that_ends_when_it_is_due() -> None:
    answers = run([bar(10, 100), bar(20, 110), bar(30, 121), bar(40, 1)], 20)
    assert [(a.made_at_ns, a.due_ns, a.price) for a in answers] == [(10, 30, 100), (20, 40, 110)]
    assert answers[0].outcome == math.log(121 / 100)


def test_when_no_bar_ends_at_the_due_time_the_last_one_before_it_answers() -> None:
    # Due at 25: known when the bar that ends at 31 has closed, answered by the one that ended at 24.
    answers = run([bar(10, 100), bar(24, 105), bar(31, 200)], 15)
    assert [(a.due_ns, a.outcome) for a in answers] == [(25, math.log(105 / 100))]


def test_with_no_bar_in_between_the_answer_is_the_price_it_was_asked_at() -> None:
    assert [a.outcome for a in run([bar(10, 100), bar(500, 200)], 15)] == [0.0]


def test_an_answer_is_not_known_before_the_due_time() -> None:
    queue = QuestionQueue(1)
    queue.ask(bar(10, 100), 30, NOTE)
    assert queue.answer(bar(29, 5)) == []
    assert len(queue) == 1
    assert [a.outcome for a in queue.answer(bar(30, 100))] == [0.0]
    assert len(queue) == 0


def test_one_bar_may_answer_several_questions_oldest_first() -> None:
    answers = run([bar(10, 100), bar(11, 101), bar(12, 102), bar(90, 1)], 5)
    assert [a.made_at_ns for a in answers] == [10, 11, 12]
    assert [a.outcome for a in answers] == [math.log(102 / p) for p in (100, 101, 102)]


def test_the_end_of_a_session_voids_what_is_open_even_if_the_time_has_come() -> None:
    answers = run([bar(10, 100), bar(20, 101), bar(1000, 150, 1), bar(1010, 151, 1)], 15)
    assert [math.isnan(a.outcome) for a in answers] == [True, True]
    assert [a.made_at_ns for a in answers] == [10, 20]


def test_a_session_may_begin_before_the_last_one_ended() -> None:
    answers = run([bar(100, 100), bar(50, 150, 1), bar(65, 151, 1)], 15)
    assert [(a.made_at_ns, math.isnan(a.outcome)) for a in answers] == [(100, True), (50, False)]


@pytest.mark.parametrize("reference", [math.nan, 0.0, -1.0, math.inf])
def test_a_price_that_is_none_voids_the_question(reference: float) -> None:
    for bars in ([bar(10, reference), bar(20, 100)], [bar(10, 100), bar(20, reference)]):
        (answer,) = run(bars, 10)
        assert not math.isfinite(answer.outcome)


def test_the_note_is_copied_when_asked_and_comes_back() -> None:
    queue = QuestionQueue(3)
    note = np.array([1.0, math.nan, -0.0])
    queue.ask(bar(10, 100), 20, note)
    note[:] = 9.0
    (answer,) = queue.answer(bar(20, 100))
    assert answer.note.tobytes() == np.array([1.0, math.nan, -0.0]).tobytes()


def slow_answers(bars: list[Closed], horizon: int) -> list[tuple[int, int, float]]:
    """(place of the question, place of the bar that settles it, outcome or NaN), by the rule itself."""
    settled = []
    for place, asked in enumerate(bars):
        due = asked.end_ns + horizon
        for later in range(place + 1, len(bars)):
            if bars[later].session != asked.session:
                settled.append((place, later, math.nan))
                break
            if bars[later].end_ns >= due:
                at = later if bars[later].end_ns == due else later - 1
                settled.append((place, later, math.log(bars[at].reference / asked.reference)))
                break
    return sorted(settled, key=lambda row: (row[1], row[0]))


_BARS = st.lists(
    st.tuples(st.integers(0, 6), st.floats(0.5, 200.0), st.sampled_from([0] * 15 + [1])), max_size=120
)


@settings(max_examples=200, deadline=None)
@given(_BARS, st.integers(1, 40), st.sets(st.integers(0, 119)))
def test_the_queue_equals_the_rule_however_often_it_is_saved(steps, horizon, saves) -> None:  # type: ignore[no-untyped-def]
    bars, end, session = [], 0, 0
    for step, reference, new in steps:
        end, session = end + step, session + new
        bars.append(bar(end, reference, session))
    queue, whole = QuestionQueue(1), QuestionQueue(1, room=1)
    got = []
    for place, closed in enumerate(bars):
        got += [(int(q.note[0]), place, q.outcome) for q in queue.answer(closed)]
        whole.answer(closed)
        for each in (queue, whole):
            each.ask(closed, closed.end_ns + horizon, np.array([float(place)]))
        if place in saves:
            data, queue = queue.snapshot(), QuestionQueue(1)
            queue.load(data)
        assert queue.digest() == whole.digest()
        assert len(queue) == len(whole)
    np.testing.assert_array_equal(got, slow_answers(bars, horizon))


def test_the_ring_grows_when_it_is_full_wherever_its_head_is() -> None:
    for shift in range(5):
        queue = QuestionQueue(1, room=4)
        for place in range(shift):
            queue.ask(bar(place, 1.0), place, NOTE)
            queue.answer(bar(place, 1.0))
        for place in range(100):
            queue.ask(bar(place, 1.0), 1000 + place, np.array([float(place)]))
        assert len(queue) == 100
        assert [q.note[0] for q in queue.answer(bar(5000, 1.0))] == list(range(100))


def test_the_digest_does_not_depend_on_the_room_but_on_every_question() -> None:
    small, large = QuestionQueue(1, room=1), QuestionQueue(1, room=64)
    for queue in (small, large):
        assert queue.answer(bar(5, 100)) == []
        queue.ask(bar(5, 100), 15, NOTE)
    assert small.digest() == large.digest()
    for other in (Closed(5, 1, 100.0), Closed(6, 0, 100.0), Closed(5, 0, 101.0)):
        queue = QuestionQueue(1)
        queue.answer(bar(5, 100))
        queue.ask(other, 15, NOTE)
        assert queue.digest() != small.digest()


def test_a_new_queue_and_any_session_number_survive_a_restore() -> None:
    for first in ([], [bar(10, 100, session=-1)]):
        queue, restored = QuestionQueue(1), QuestionQueue(1)
        for closed in first:
            queue.answer(closed)
            queue.ask(closed, 25, NOTE)
        restored.load(queue.snapshot())
        last = bar(30, 120, session=-1)
        assert [a.outcome for a in restored.answer(last)] == [a.outcome for a in queue.answer(last)]
        assert restored.digest() == queue.digest()
