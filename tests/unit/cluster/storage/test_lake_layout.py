"""Keys of the lake can be read back, whatever the symbol; other keys are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.storage import layout, schemas
from cluster.storage.layout import Partition
from cluster.storage.objects import check_key
from features.errors import DataError
from tests.unit.cluster.storage.lake_rows import DAY_NS, MIDNIGHT_NS

_NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_NUMBERS = st.none() | st.tuples(st.integers(0, 10**14), st.integers(0, 10**14))


@given(_NAMES, _NAMES, st.booleans(), st.integers(0, 2**63 - 1), _NUMBERS, st.sampled_from(["", "archive/"]))
def test_a_key_says_all_that_it_was_made_of(
    venue: str, symbol: str, compact: bool, epoch: int, numbers: tuple[int, int] | None, prefix: str
) -> None:
    partition = Partition("trades", venue, symbol, "2024-08-09")
    first, last = numbers or (None, None)
    name = layout.data_name(compact, epoch, first, last, "0123456789abcdef")
    key = f"{prefix}{partition.prefix}{name}"
    check_key(key)
    file = layout.parse_data_key(key, 7)
    assert file is not None
    assert (file.partition, file.name, file.prefix, file.size) == (partition, name, prefix, 7)
    assert (file.compact, file.epoch, file.first, file.last) == (compact, epoch, first, last)
    assert (file.digest, file.key) == ("0123456789abcdef", key)


def test_names_sort_as_their_numbers_do() -> None:
    numbers = [(7, 0, 99), (7, 100, 1000), (7, 10**11, 10**11), (8, 0, 0), (10**12, 5, 5)]
    names = [layout.data_name(False, *one, "f" * 16) for one in numbers]
    assert names == sorted(names)


@pytest.mark.parametrize(
    "key",
    [
        "trades/venue=b/symbol=s/date=2024-08-09/part-0.parquet",
        "trades/venue=b/symbol=s/0000000000007-late-0123456789abcdef.parquet",
        "trades/venue=b/symbol=s/date=2024-08-09/0000000000007-late-0123456789abcdef.parquet.tmp",
        "trades/venue=b/symbol=s/date=2024-08-09/sub/0000000000007-late-0123456789abcdef.parquet",
        "epochs/venue=b/symbol=s/0000000000007.json",
        "_SUCCESS",
    ],
)
def test_what_others_left_in_the_store_is_no_data_file(key: str) -> None:
    assert layout.parse_data_key(key) is None


def test_days_begin_at_midnight_utc() -> None:
    assert layout.date_of(MIDNIGHT_NS) == "2024-08-09"
    assert layout.date_of(MIDNIGHT_NS - 1) == "2024-08-08"
    assert layout.date_of(-1) == "1969-12-31"
    assert layout.day_start_ns("2024-08-09") == MIDNIGHT_NS
    assert Partition("bars", "b", "s", "2024-08-09").end_ns == MIDNIGHT_NS + DAY_NS
    with pytest.raises(DataError, match="'2024-13-01' is no date; write it like 2024-08-09"):
        layout.day_start_ns("2024-13-01")


def test_candles_lie_in_years_everything_else_in_days() -> None:
    for table in schemas.TABLES:
        yearly = table == "candles"
        at = np.array([MIDNIGHT_NS, MIDNIGHT_NS - 1, -1, day_ns("2024-12-31") + DAY_NS - 1, 0])
        dates = [layout.period_date(table, ns) for ns in at.tolist()]
        assert dates == (
            ["2024-01-01", "2024-01-01", "1969-01-01", "2024-01-01", "1970-01-01"]
            if yearly
            else ["2024-08-09", "2024-08-08", "1969-12-31", "2024-12-31", "1970-01-01"]
        )
        assert [layout.date_of(ns) for ns in layout.period_starts_ns(table, at).tolist()] == dates
        end = Partition(table, "b", "s", dates[0]).end_ns
        assert end == (day_ns("2025-01-01") if yearly else MIDNIGHT_NS + DAY_NS)


def day_ns(date: str) -> int:
    return layout.day_start_ns(date)


@pytest.mark.parametrize(
    ("first", "last", "prefix"),
    [
        (None, "2024-08-09", ""),
        ("2024-08-09", None, ""),
        ("2024-08-09", "2024-08-09", "date=2024-08-09"),
        ("2024-08-01", "2024-08-31", "date=2024-08-"),
        ("2023-12-31", "2024-01-01", "date=202"),
        ("1999-12-31", "2024-01-01", "date="),
    ],
)
def test_a_listing_of_days_begins_where_they_differ(first: str | None, last: str | None, prefix: str) -> None:
    assert layout.common_prefix(first, last) == prefix
