"""Markup and words: text can't become markup, numbers read as people write them."""

from __future__ import annotations

import math

import pytest

from jobs.reporting import wording
from jobs.reporting.charts import Chart, View, line, numbers, script_data, times
from jobs.reporting.markup import Cell, Column, Section, paragraph, table
from jobs.reporting.page import Page
from tests.unit.jobs.reporting.pages import check, unpacked

EVIL = '</script><script>alert(1)</script> & <b title="x\'">'


def test_no_text_becomes_markup() -> None:
    columns = (Column(EVIL, False, EVIL), Column("number"))
    body = table(EVIL, columns, [[Cell(EVIL), Cell("1", 1.0)]])
    trace = line(EVIL, times([0, 10**9]), [1.0, 2.0], "@1")
    chart = Chart("one", EVIL, [View(EVIL, [trace], EVIL)])
    page = Page(EVIL, EVIL, [Section("part", EVIL, paragraph(EVIL)), Section("two", "2", body)], EVIL)
    page = Page(EVIL, EVIL, [*page.sections, Section("three", "3", chart.markup())], EVIL)
    read = check(page.html())
    assert read.text.count(EVIL) >= 8
    assert read.charts["one"]["views"][0]["traces"][0]["name"] == EVIL
    assert tuple(read.rows[1]) == (EVIL, "1")


def test_data_in_the_page_can_not_end_its_element() -> None:
    assert "</" not in script_data({"a": "</script>"}).split(">", 1)[1].rsplit("</script>", 1)[0]


def test_a_table_without_rows_says_so() -> None:
    assert "nothing to show" in table("Rules.", (Column("a"),), [])


def test_numbers_and_times_survive_the_packing() -> None:
    at = 1_700_000_000_123_000_000
    ms = [at, at + 5_000_000, at + 86_400 * 10**9]
    assert unpacked(times(ms)).tolist() == [one // 10**6 for one in ms]
    far = unpacked(times([at, at + 400 * 86_400 * 10**9]))
    assert abs(far[1] - (at // 10**6 + 400 * 86_400_000)) < 1_000
    assert unpacked(times([])).tolist() == []
    assert unpacked(numbers([1.5, math.nan])).tolist()[0] == 1.5


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (wording.number(-1234567.891, 1), "−1,234,567.9"),
        (wording.number(-0.0001, 2), "0.00"),
        (wording.number(None), "–"),
        (wording.number(math.inf), "–"),
        (wording.fine_percent(0.00001234), "0.00123 %"),
        (wording.fine_percent(0.25), "25.00 %"),
        (wording.fine_percent(0.0), "0.00 %"),
        (wording.interval(-0.001, 0.002, 100, 1), "−0.1 to 0.2"),
        (wording.interval(None, 1.0), "–"),
        (wording.chance(0.00001), "< 0.0001"),
        (wording.moment(1_700_000_000 * 10**9), "2023-11-14 22:13:20"),
        (wording.moment(0), "–"),
        (wording.duration(93_784), "1 d 2 h"),
        (wording.duration(725), "12 min 5 s"),
        (wording.duration(0.0042), "4.20 ms"),
        (wording.duration(0), "0 s"),
        (wording.duration(None), "–"),
        (wording.significant(0.000123456), "0.0001235"),
        (wording.significant(12345678.0), "12,345,678"),
        (wording.significant(1e-9), "1.000e−09"),
        (wording.many(1, "symbol"), "1 symbol"),
        (wording.many(1_300, "symbol"), "1,300 symbols"),
        (wording.setting((True, 1.5, None, 10_000)), "yes, 1.5, –, 10,000"),
    ],
)
def test_words(said: str, expected: str) -> None:
    assert said == expected


def test_a_long_table_is_cut_and_says_so() -> None:
    rows = [[Cell(f"{row}"), Cell("1", 1.0)] for row in range(30)]
    made = table("Rules.", (Column("a", False), Column("b")), rows, most=20)
    assert "Rules. The first 20 of 30 rows." in made and made.count("<tr>") == 21
