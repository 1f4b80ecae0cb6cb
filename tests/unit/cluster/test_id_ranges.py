"""A set of ids, however it was made, in as few ranges as possible."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.id_ranges import IdRanges

spans = st.tuples(st.integers(0, 30), st.integers(0, 6)).map(lambda pair: (pair[0], sum(pair)))
steps = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "remove_range", "remove_to"]), spans), max_size=40
)


def ranges(ids: set[int]) -> list[tuple[int, int]]:
    """Runs of consecutive ids."""
    starts = sorted(i for i in ids if i - 1 not in ids)
    ends = sorted(i for i in ids if i + 1 not in ids)
    return list(zip(starts, ends, strict=True))


@settings(max_examples=400, deadline=None)
@given(steps)
def test_it_equals_a_set_of_ids(plan: list[tuple[str, tuple[int, int]]]) -> None:
    held, model = IdRanges(), set[int]()
    for name, (first, last) in plan:
        span = set(range(first, last + 1))
        if name == "add":
            held.add(first, last)
            model |= span
        elif name == "remove":
            assert held.remove(first) == (first in model)
            model.discard(first)
        elif name == "remove_range":
            held.remove_range(first, last)
            model -= span
        else:
            held.remove_to(first)
            model = {i for i in model if i > first}
        assert held.as_list() == ranges(model)
        assert len(held) == len(ranges(model))
        assert all((i in held) == (i in model) for i in range(-1, 40))
        if model:
            assert (held.first, held.last) == (min(model), max(model))
            assert held.last_range == ranges(model)[-1]


def test_what_does_not_fit_is_forgotten_from_the_lowest_on() -> None:
    held = IdRanges(most=3)
    held.extend([(1, 1), (3, 3), (5, 5), (7, 9)])
    assert held.as_list() == [(3, 3), (5, 5), (7, 9)]
    # Taking the middle out of a range makes two of it.
    assert held.remove(8)
    assert held.as_list() == [(5, 5), (7, 7), (9, 9)]
    assert held.as_list(most=2) == [(5, 5), (7, 7)]
    held.clear()
    assert len(held) == 0
    with pytest.raises(IndexError):
        _ = held.first
