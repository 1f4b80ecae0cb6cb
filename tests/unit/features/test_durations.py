"""Durations are read and written as people do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import durations
from features.errors import SpecError


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1ns", 1),
        ("250us", 250_000),
        ("500ms", 500_000_000),
        ("10s", 10_000_000_000),
        ("5m", 300_000_000_000),
        ("2h", 7_200_000_000_000),
        ("1d", 86_400_000_000_000),
        (" 1s ", 1_000_000_000),
        ("007s", 7_000_000_000),
    ],
)
def test_a_duration_is_a_whole_number_with_a_unit(text: str, ns: int) -> None:
    assert durations.parse_ns(text) == ns


@pytest.mark.parametrize("text", ["", "10", "s", "0s", "-1s", "1.5s", "1 s", "10S", "1w", "1s1s", "१s"])
def test_anything_else_is_refused_with_its_place_and_examples(text: str) -> None:
    with pytest.raises(SpecError) as error:
        durations.parse_ns(text, "horizons")
    assert str(error.value) == (
        f'horizons: {text!r} is not a duration; write for example "500ms", "10s", "5m" or "1h"'
    )


@given(st.integers(1, 10**18))
def test_what_is_written_reads_back(ns: int) -> None:
    assert durations.parse_ns(durations.text(ns)) == ns


@pytest.mark.parametrize(("ns", "text"), [(60_000_000_000, "1m"), (90_000_000_000, "90s"), (1_500, "1500ns")])
def test_the_largest_whole_unit_is_written(ns: int, text: str) -> None:
    assert durations.text(ns) == text
